"""`machine`: what is chosen for each device, and that what is switched on is switched off again."""

import platform

import pytest
import torch

from cae_lib import machine
from cae_lib.files import UserError

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def there(monkeypatch):
    """Sets which devices the machine has beside the CPU."""

    def have(*names):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in names)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in names)
        monkeypatch.setattr(torch, "ones", lambda *shape, device, **options: ones(*shape, **options))

    ones = torch.ones  # what is computed on a device to try it is computed on the CPU here
    return have


def test_auto_takes_cuda_then_mps_then_the_cpu(there):
    for names, chosen in ((("cuda", "mps"), "cuda"), (("mps",), "mps"), ((), "cpu")):
        there(*names)
        assert machine.choose_device("auto").type == chosen and machine.choose_device("cpu").type == "cpu"


def test_a_device_that_is_not_there_is_named_with_those_that_are(there):
    there("mps")
    with pytest.raises(UserError, match=r"device: found 'cuda', but this machine has mps, cpu"):
        machine.choose_device("cuda")


NO_KERNEL = "CUDA error: no kernel image is available for execution on the device\nCUDA kernel errors might be"


@pytest.fixture
def without_kernels(there, monkeypatch):
    """A CUDA device that is there, and for which this torch has no kernels."""

    def fail(*shape, **options):
        raise RuntimeError(NO_KERNEL)

    there("cuda")
    monkeypatch.setattr(torch, "ones", fail)


def test_auto_leaves_a_gpu_that_this_torch_cannot_compute_on_and_says_so(without_kernels, capsys):
    assert machine.choose_device("auto").type == "cpu"
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("device: this machine has cuda, but torch ") and line.endswith("; trying cpu")
    assert "(CUDA error: no kernel image is available for execution on the device)" in line


def test_such_a_gpu_asked_for_by_name_is_one_message_with_the_way_out(without_kernels):
    with pytest.raises(
        UserError, match=r"^device: this machine has cuda, but .*no kernel image .* `device: cpu`"
    ) as told:
        machine.choose_device("cuda")
    assert "\n" not in str(told.value) and machine.choose_device("cpu").type == "cpu"


def test_a_gpu_that_computes_other_values_is_not_taken(there, monkeypatch, capsys):
    there("mps")
    right = machine._gradient
    monkeypatch.setattr(machine, "_gradient", lambda device: right(device) * (1 if device == "cpu" else 1.1))
    assert machine.choose_device("auto").type == "cpu"
    assert "cannot compute on it (its convolutions differ from a processor's); trying cpu" in capsys.readouterr().err


@pytest.mark.parametrize(("flags", "chosen"), [("fma avx512_bf16 amx", torch.bfloat16), ("fma avx2", torch.float32)])
def test_auto_precision_is_what_the_processor_multiplies(monkeypatch, flags, chosen):
    monkeypatch.setattr(machine, "_lines", lambda path, start: [f"flags : {flags}"])
    assert machine.choose_precision("auto", CPU) == chosen
    assert machine.choose_precision("float32", CPU) == torch.float32
    assert machine.choose_precision("bfloat16", CPU) == torch.bfloat16


def test_deterministic_algorithms_are_as_before_afterwards_also_after_an_error():
    before = torch.are_deterministic_algorithms_enabled()
    with pytest.raises(ZeroDivisionError), machine.deterministic(CPU):
        assert torch.are_deterministic_algorithms_enabled()
        _ = 1 / 0
    assert torch.are_deterministic_algorithms_enabled() == before


def test_provenance_says_what_this_machine_is():
    facts = machine.provenance(CPU, torch.bfloat16)
    assert (facts["device"], facts["precision"], facts["threads"]) == ("cpu", "bfloat16", torch.get_num_threads())
    assert facts["versions"]["torch"] == torch.__version__ and facts["versions"]["python"] == platform.python_version()
    assert facts["processor"] and facts["system"] == platform.platform()
    assert "jupyter-book" in facts["versions"]


def test_provenance_leaves_out_what_is_not_installed(monkeypatch):
    version = machine.importlib.metadata.version

    def absent(name):
        return version("made-up-package" if name == "jupyter-book" else name)

    monkeypatch.setattr(machine.importlib.metadata, "version", absent)
    versions = machine.provenance(CPU, torch.float32)["versions"]
    assert "jupyter-book" not in versions and versions["numpy"] == version("numpy")
