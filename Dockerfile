# CPU:  docker build --tag stroke-tf .
# GPU:  docker build --tag stroke-tf:gpu --build-arg TENSORFLOW='tensorflow[and-cuda]' .
# Run:  docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD:/work" stroke-tf doctor
ARG PYTHON=3.11.14-slim-bookworm

FROM python:${PYTHON} AS build
ARG TENSORFLOW=tensorflow
ARG EXTRAS=runtime,dicom,page,track
WORKDIR /source
COPY setup.cfg pyproject.toml constraints.txt README.md LICENSE ./
COPY stroke_tf stroke_tf
COPY data_tools data_tools
COPY experiments experiments
RUN python -m venv /opt/stroke-tf \
    && /opt/stroke-tf/bin/python -m pip install --no-cache-dir --constraint constraints.txt \
        ".[${EXTRAS}]" "${TENSORFLOW}"

FROM python:${PYTHON}
COPY --from=build /opt/stroke-tf /opt/stroke-tf
RUN useradd --create-home --uid 1000 stroke \
    && install --directory --owner stroke --group stroke /work
ENV PATH=/opt/stroke-tf/bin:$PATH \
    MPLCONFIGDIR=/tmp/matplotlib \
    PYTHONUNBUFFERED=1 \
    TF_CPP_MIN_LOG_LEVEL=2 \
    TF_FORCE_GPU_ALLOW_GROWTH=true
USER 1000:1000
WORKDIR /work
ENTRYPOINT ["stroke-tf"]
CMD ["--help"]
