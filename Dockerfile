# The program for servers of your own: PostgreSQL, Redis and Qdrant by URL (see docker-compose.yml).
FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /srv/one
RUN useradd --system --home-dir /srv/one --shell /usr/sbin/nologin one \
    && install --directory --owner=one --group=one --mode=0711 /var/lib/one

# torch first and by itself, as ops/bootstrap.sh does. For a CPU build pass an index of CPU builds, e.g.
#   docker compose build --build-arg TORCH_PIP_ARGS="--index-url …"
ARG TORCH_PIP_ARGS=""
COPY requirements.txt ./
RUN python -m pip install ${TORCH_PIP_ARGS} "$(grep '^torch==' requirements.txt)" \
    && python -m pip install -r requirements.txt

COPY pyproject.toml LICENSE ./
COPY ontology ontology
COPY knowledge knowledge
COPY api api
COPY worker worker
COPY portal portal
COPY migrations migrations
COPY templates templates
COPY static static
COPY content content
RUN python -m compileall -q ontology knowledge api worker portal migrations

USER one
ENV HOST=0.0.0.0 PORT=8000 DATA_DIR=/var/lib/one
VOLUME /var/lib/one
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=6 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/ready', timeout=4)"]
STOPSIGNAL SIGTERM
CMD ["python", "-m", "portal", "run"]
