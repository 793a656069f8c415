# The endpoint in a container, on the built-in model unless told otherwise:
#
#   docker build -t t2app .                           for the CPU
#   docker build -t t2app --build-arg TORCH=cu130 .   for an NVIDIA GPU (run it with --gpus all)
#   docker run -p 8000:8000 -e T2APP_API_KEY=… -v t2app:/data t2app
#
# Other commands of t2app go behind the name; the health check is that of the endpoint:
#
#   docker run --no-healthcheck -p 7860:7860 t2app app --host 0.0.0.0 --auth USER:PASS
FROM python:3.13-slim

ARG TORCH=cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/${TORCH}

WORKDIR /src
# The large libraries first: they change less often than the program.
COPY requirements.txt .
RUN pip install -r requirements.txt
COPY . .
RUN pip install . && rm -rf /src/*

RUN useradd --create-home t2app && mkdir /data && chown t2app /data
USER t2app
WORKDIR /data
# Experts of the user, factors, runs, models of the hub.
ENV XDG_DATA_HOME=/data T2APP_CACHE=/data/cache HF_HOME=/data/hub PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 8000

HEALTHCHECK --interval=30s --timeout=5s --start-period=120s CMD ["python", "-c", \
    "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
ENTRYPOINT ["t2app"]
CMD ["serve", "--host", "0.0.0.0"]
