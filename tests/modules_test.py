"""Operations between devices as CPUs', GPUs' and TPUs' modules write them, and what they cost."""

import pytest

from tools.compile_for import LATENCY, MISSING, efficiency, machine
from tools.modules import Collective, collectives, sent, totals

GPU = """
ENTRY %main.0_spmd (param: f32[16,8]) -> f32[16,8] {
  %a = bf16[1000]{0} all-reduce-start(%x), channel_id=4, replica_groups=mesh['axis_0'=2,'axis_1'=4] {'axis_1'}, use_global_device_ids=true
  %b = bf16[1000]{0} all-reduce-done(%a)
  %c = ((bf16[2,8]{1,0}, bf16[4]{0}), (bf16[8,8]{1,0}, bf16[16]{0})) all-gather-start(%y, %z), channel_id=1, replica_groups=mesh['axis_0'=2,'axis_1'=4] {'axis_1'}
  %d = (bf16[8,8]{1,0}, bf16[16]{0}) all-gather-done(%c), backend_config={"operation_queue_id":"0"}
  %e = (f32[8,8]{1,0}, f32[2,8]{1,0}) reduce-scatter-start(%w), replica_groups=[2,4]<=[8], dimensions={0}
}
"""  # noqa: E501

TPU = """
%async_start (param_0: bf16[2,8]) -> (bf16[2,8], bf16[16,8], u32[]) {
  %g = bf16[16,8]{1,0:T(8,128)(2,1)} all-gather(%param_0), channel_id=4, replica_groups=mesh['axis_0'=8] {'axis_0'}, dimensions={0}
  ROOT %s = (bf16[2,8]{1,0}, bf16[16,8]{1,0:S(1)}, u32[]{:S(2)}) custom-call(%g), custom_call_target="AsyncCollectiveStart"
}

%async_collective_fusion.47 (param_0: bf16[2,8]) -> (bf16[512,8], bf16[16,8]) {
  %k = bf16[16,8]{1,0:T(8,128)(2,1)S(1)} all-gather(%param_0), channel_id=4, replica_groups=mesh['axis_0'=8] {'axis_0'}, dimensions={0}
}

%all-reduce-scatter.1 (input.1: f32[64]) -> f32[8] {
  %r = f32[64]{0:T(128)} all-reduce(%input.1), channel_id=16, replica_groups={{0,1,2,3,4,5,6,7}}, to_apply=%add
  ROOT %cut = f32[8]{0:T(128)} dynamic-slice(%r, %i), dynamic_slice_sizes={8}
}

%body (state: (s32[], f32[6])) -> (s32[], f32[6]) {
  %p = f32[6]{0} collective-permute(%q), source_target_pairs={{0,1},{1,0}}
}

ENTRY %main.1 (x: f32[6]) -> f32[6] {
  %n = (f32[10,2]{1,0:T(8,128)}, bf16[3]{0}) all-reduce(%x, %y), channel_id=1, replica_groups={{0,1,2,3,4,5,6,7}}, to_apply=%add
  %w = (s32[], f32[6]{0}) while(%t), condition=%cond, body=%body, backend_config={"known_trip_count":{"n":"5"}}
  %f = f32[8]{0} fusion(%x), kind=kCustom, calls=%all-reduce-scatter.1
}
"""  # noqa: E501


def test_pairs_of_start_and_done_count_the_whole_once():
    assert collectives(GPU) == [
        Collective("all-reduce", 2000, 4, "bf16", hidden=True),
        Collective("all-gather", 160, 4, "bf16", hidden=True),
        Collective("reduce-scatter", 256, 4, "f32", hidden=True),
    ]
    assert sent(collectives(GPU)) == 0.75 * (2 * 2000 + 160 + 256)


def test_fusions_scattered_sums_and_loops_of_tpus():
    found = collectives(TPU, 8)
    assert [x.kind for x in found] == [
        "all-gather", "reduce-scatter", "collective-permute", "all-reduce"
    ]  # fmt: skip
    assert [x.bytes for x in found] == [256, 256, 24, 86]
    assert [x.times for x in found] == [1, 1, 5, 1]
    assert [x.hidden for x in found] == [True, False, False, False]
    assert totals(found)["collective-permute"] == 120
    assert sent(found) == 7 / 8 * (256 + 256 + 2 * 86) + 5 * 24


def test_a_scattered_result_is_part_of_what_was_summed():
    line = "%a = f32[8]{0} reduce-scatter(%x), replica_groups={{0,1},{2,3}}, to_apply=%add"
    assert collectives(line, 4) == [Collective("reduce-scatter", 64, 2)]


def test_only_large_operations_hide_and_only_behind_half_of_the_step():
    link, large = 1e9, 10e6  # ten milliseconds
    gradients = Collective("all-gather", int(2 * large), 2, hidden=True)
    assert efficiency(1.0, link, [gradients]) == 1
    waiting = large / link + LATENCY - 0.5 * 0.01
    assert efficiency(0.01, link, [gradients]) == pytest.approx(0.01 / (0.01 + waiting))
    small = Collective("all-reduce", 64, 2, hidden=True)
    assert efficiency(0.01, link, 100 * [small]) == pytest.approx(
        0.01 / (0.01 + 100 * LATENCY), rel=1e-3
    )


def test_a_missing_compiler_is_told_in_one_line(monkeypatch):
    import jax

    def missing(*args, **kwargs):
        raise RuntimeError("JAX TPU support not installed; cannot generate TPU topology.")

    monkeypatch.setattr(jax.experimental.topologies, "get_topology_desc", missing)
    with pytest.raises(SystemExit, match="pip install libtpu") as error:
        machine("v5e:2x4", None)
    assert str(error.value) == MISSING["tpu"]
    assert "\n" not in MISSING["tpu"] + MISSING["gpu"]
