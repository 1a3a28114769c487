"""The command: `python main.py --config=configs/quickstart.py --workdir=runs/quickstart`."""

from hsisr_jax.cli import run

if __name__ == "__main__":
    run()
