"""What a run tells of adaptation, and scores that need no target."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsisr_jax import degrade
from hsisr_jax.data.batches import Recipe, of_image
from hsisr_jax.data.normalise import Normaliser
from hsisr_jax.data.scenes import Scene
from hsisr_jax.errors import UserError
from hsisr_jax.inference import domains
from hsisr_jax.inference.evaluate import Protocol, evaluate

BANDS, MATERIALS = 6, 3
PATH = "endmembers/kernel"
LOG = Normaliser(floor=1e-4, low=float(np.log(1e-4)), high=float(np.log(2.0)))
RECIPE = Recipe(degrade.create("bicubic", scale=2), scale=2, domains=2)


def scene(domain, seed, normaliser=None):
    """Mixtures of the domain's own spectra: what `spectra` says, a little shifted in domain 1."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(MATERIALS, 0.4), (8, 8)).repeat(2, 0).repeat(2, 1)
    hr = (shares @ spectra(domain)).astype(np.float32)
    waves = np.linspace(1000, 1700, BANDS) + 700 * domain
    return Scene(f"{domain}{seed}", {"hr": hr}, normaliser or Normaliser(), domain, waves)


def spectra(domain):
    base = 0.2 + 0.6 * np.random.default_rng(5).random((MATERIALS, BANDS))
    return base * (1 + 0.1 * domain)


def unmix(variables, inputs):
    """Least squares abundances of the network's endmembers."""
    kernel = variables["params"]["endmembers"]["kernel"]
    return {
        "abundance": inputs["lr"] @ jnp.linalg.pinv(kernel),
        "sr": inputs["lms"],
    }


@pytest.fixture(scope="module")
def found():
    variables = {"params": {"endmembers": {"kernel": jnp.asarray(spectra(0), jnp.float32)}}}
    before = jax.tree.map(lambda x: 2 * x, variables)
    scenes = [scene(d, seed) for seed in range(2) for d in (0, 1)]
    return domains.describe(jax.jit(unmix), variables, before, scenes, RECIPE, endmembers=PATH)


def test_features_are_each_domains_abundances(found):
    assert found["features"].shape == found["features_before"].shape == (256, MATERIALS)
    assert found["domain"].tolist() == [0] * 128 + [1] * 128
    np.testing.assert_allclose(found["features"], 2 * found["features_before"], rtol=1e-4)
    np.testing.assert_allclose(found["features"][:128].sum(1), 1, atol=1e-4)
    np.testing.assert_allclose(found["features"][128:].sum(1), 1.1, atol=1e-4)
    assert found["wavelengths"].shape == (2, BANDS)
    assert found["wavelengths"][1].min() == 1700


def test_endmembers_are_those_that_the_domain_needs(found):
    """The source's own are kept; shared abundances of shifted spectra give the shifted ones."""
    np.testing.assert_allclose(found["endmembers"][0], spectra(0), atol=1e-4)
    shares = np.random.default_rng(0).dirichlet(np.ones(MATERIALS), 500)
    moved = domains.fitted(spectra(0), shares, shares @ spectra(1))
    expected, *_ = np.linalg.lstsq(shares, shares @ spectra(1), rcond=None)
    np.testing.assert_allclose(moved, expected, rtol=0.02)
    unseen = shares * [1, 1, 0]
    held = domains.fitted(spectra(0), unseen, unseen @ spectra(1))
    np.testing.assert_allclose(held[2], spectra(0)[2], rtol=1e-6)


def test_nothing_is_told_of_one_domain_or_of_other_networks(found):
    variables = {"params": {}}
    one = [scene(0, 0), scene(0, 1)]
    assert domains.describe(jax.jit(unmix), variables, None, one, RECIPE, endmembers=PATH) == {}
    both = [scene(0, 0), scene(1, 0)]
    plain = jax.jit(lambda variables, inputs: {"sr": inputs["lms"]})
    assert domains.describe(plain, variables, None, both, RECIPE, endmembers=PATH) == {}


@pytest.mark.parametrize("normaliser", [Normaliser(), LOG])
def test_consistency_is_zero_for_the_truth_and_not_for_others(normaliser):
    recipe = Recipe(degrade.create("bicubic", scale=2), scale=2, floor=normaliser.floor)
    image = scene(0, 0, normaliser)
    drawn = of_image(image.cubes, image.normaliser)
    batch = recipe(drawn)
    again = recipe.seen_again(batch["hr"], drawn)
    np.testing.assert_allclose(again, batch["lr"], atol=2e-5)
    blurred = recipe.seen_again(batch["lms"], drawn)
    assert float(jnp.abs(blurred - batch["lr"]).mean()) > 1e-3

    def forward(variables, inputs):
        return {"sr": inputs["lms"] + variables["offset"]}

    scores = [
        evaluate(jax.jit(forward), {"offset": jnp.float32(offset)}, [image], recipe,
                 Protocol("asnlsr", ratio=2), consistency=True).means("test")["consistency"]
        for offset in (0.0, 0.2)
    ]  # fmt: skip
    expected = float(jnp.sqrt(jnp.mean((blurred - batch["lr"]) ** 2)))
    assert scores[0] == pytest.approx(expected, rel=1e-4) and scores[1] > 2 * scores[0]


def test_consistency_needs_a_spatial_degradation():
    with pytest.raises(UserError, match="spatial"):
        Recipe(None).seen_again(jnp.ones((1, 4, 4, 2)), None)


def test_abundances_of_kept_images_are_stored():
    variables = {"params": {"endmembers": {"kernel": jnp.asarray(spectra(0), jnp.float32)}}}
    protocol = Protocol("asnlsr", ratio=2)
    kept = evaluate(jax.jit(unmix), variables, [scene(1, 0)], RECIPE, protocol, keep=1).kept
    assert kept["10"]["abundance"].shape == (8, 8, MATERIALS)
