# Stands for debian:bookworm-slim where no registry can be reached.
FROM scratch
COPY base /
CMD ["/bin/sh"]
