# Stands for the official image of Redis where no registry can be reached.
ARG BASE
FROM ${BASE}
COPY redis /
USER 999:999
WORKDIR /data
EXPOSE 6379
CMD ["redis-server"]
