# Stands for the official image of Postgres where no registry can be reached.
ARG BASE
FROM ${BASE}
COPY postgres /
ENV PGDATA=/var/lib/postgresql/data LANG=C.UTF-8
USER 999:999
EXPOSE 5432
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
