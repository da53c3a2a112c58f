"""The command line of genbench on the fake device: `python -m fake_gpu.command_line run --model wcfm ...`."""

from fake_gpu import device

device.install()  # also in the processes that a command starts, which import this module under another name

if __name__ == "__main__":
    from genbench.cli.main import main

    main()
