# vpbsd and all its libraries, on a GPU or on CPUs. In a checkout:
#   docker build -t vpbsd .
#   docker run --rm --gpus all --shm-size 8g --user "$(id -u)" -v "$PWD:/work" vpbsd ablation --plan
FROM python:3.11-slim-bookworm

WORKDIR /opt/vpbsd
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY vpbsd vpbsd
COPY vpbsd_sweeps vpbsd_sweeps
RUN pip install --no-cache-dir --constraint constraints.txt ".[s3,gcs,server,itk,onnx,graph]"

# What libraries keep for themselves; whoever runs the image may have no home in it.
ENV HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib
WORKDIR /work
ENTRYPOINT ["vpbsd"]
CMD ["--help"]
