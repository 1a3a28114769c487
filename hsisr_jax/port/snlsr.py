"""Names of SNLSR's weights in the code of A-SNLSR's authors."""

from flax import linen as nn

from hsisr_jax.errors import UserError
from hsisr_jax.models.snlsr import two_stages
from hsisr_jax.port.blocks import upsampler
from hsisr_jax.port.engine import CONV_AS_DENSE, Entry, Layout, Table, conv, dense, weight_and_bias

DEPTHWISE = Layout((2, 3, 0, 1), drop=(3,))  # d 1 h w -> h w d


def entries(module: nn.Module) -> list[Entry]:
    if module.encoder is not None:
        raise UserError("the original's weights fit its own encoder alone: leave encoder out")
    first, second = module.stage_scales or two_stages(module.scale)
    return [
        *_encoder(),
        Entry("params/endmembers/kernel", "endmember.weight", CONV_AS_DENSE),
        *conv("head", "SRhead"),
        *(entry for i in range(6) for entry in _block(f"block_{i}", f"block{i + 1}", i % 3 > 0)),
        *weight_and_bias("merge_0", "Up.0", CONV_AS_DENSE),
        *upsampler("up_0", "Up.1", first),
        *weight_and_bias("merge_1", "Up2.0", CONV_AS_DENSE),
        *upsampler("up_1", "Up2.1", second),
        *conv("tail", "Up2.2"),
    ]


def _encoder() -> list[Entry]:
    table = []
    for i in range(3):
        ours, place = f"encoder/attention_{i}", f"SPDN.layers.{3 * i + 1}"
        table += conv(f"encoder/conv_{i}", f"SPDN.layers.{3 * i}")
        table += dense(f"{ours}/squeeze", f"{place}.mpl.0", bias=False)
        table += dense(f"{ours}/excite", f"{place}.mpl.2", bias=False)
        table += conv(f"{ours}/mask", f"{place}.conv", bias=False)
    return table + weight_and_bias("encoder/abundance", "SPDN.layers.9", CONV_AS_DENSE)


def _block(ours: str, theirs: str, merges: bool) -> list[Entry]:
    return [
        *_spatial(f"{ours}/spatial", f"{theirs}.ESA"),
        *_spectral(f"{ours}/spectral", f"{theirs}.NL"),
        *(weight_and_bias(f"{ours}/merge", f"{theirs}.botnek", CONV_AS_DENSE) if merges else []),
        *weight_and_bias(f"{ours}/fusion/point", f"{theirs}.DDP.pointconv", CONV_AS_DENSE),
        *weight_and_bias(f"{ours}/fusion/depth", f"{theirs}.DDP.depthconv", DEPTHWISE),
    ]


def _spatial(ours: str, theirs: str) -> list[Entry]:
    return [
        *weight_and_bias(f"{ours}/reduce", f"{theirs}.conv1", CONV_AS_DENSE),
        *weight_and_bias(f"{ours}/skip", f"{theirs}.conv_f", CONV_AS_DENSE),
        *conv(f"{ours}/pooled_0", f"{theirs}.conv_max"),
        *conv(f"{ours}/stride", f"{theirs}.conv2"),
        *conv(f"{ours}/pooled_1", f"{theirs}.conv3"),
        *conv(f"{ours}/pooled_2", f"{theirs}.conv3_"),
        *weight_and_bias(f"{ours}/expand", f"{theirs}.conv4", CONV_AS_DENSE),
    ]


def _spectral(ours: str, theirs: str) -> list[Entry]:
    return [
        *conv(f"{ours}/embed_0", f"{theirs}.embedding.0"),
        *conv(f"{ours}/embed_1", f"{theirs}.embedding.2"),
        *dense(f"{ours}/query", f"{theirs}.convq.0", bias=False),
        *dense(f"{ours}/key", f"{theirs}.convk.0", bias=False),
        *dense(f"{ours}/value", f"{theirs}.convv.0", bias=False),
        *dense(f"{ours}/out", f"{theirs}.to_out"),
    ]


TABLE = Table(entries, widths={"bands": ("endmember.weight", 0)})
