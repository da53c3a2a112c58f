# CPU:   docker build --tag genbench .
# CUDA:  docker build --tag genbench:cuda --build-arg BASE=pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime .
# Run:   docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD:/genbench" genbench run --model wcfm --dataset moons
# With a GPU, add --gpus all, and --shm-size 8g for several devices.
ARG BASE=python:3.13-slim
FROM ${BASE}

# An index that has CPU builds of torch makes the CPU image several gigabytes smaller.
ARG PIP_EXTRA_INDEX_URL=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_BREAK_SYSTEM_PACKAGES=1

COPY pyproject.toml README.md LICENSE /source/
COPY genbench /source/genbench
RUN python -m pip install /source && rm -rf /source

# Results and caches lie in the mounted folder, so that they outlive the container.
WORKDIR /genbench
ENV HOME=/genbench/.genbench GENBENCH_HOME=/genbench/.genbench
ENTRYPOINT ["genbench"]
CMD ["--help"]
