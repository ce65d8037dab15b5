# docker build -t darkhorse . ; docs/serve.md says how it is run.
FROM debian:12-slim AS build
WORKDIR /src
COPY tools/setup tools/setup
RUN tools/setup && apt-get install -y --no-install-recommends dpkg-dev
COPY . .
RUN cmake --preset release && cmake --build --preset release --target darkhorse && cd build && cpack -G DEB

FROM debian:12-slim
COPY --from=build /src/build/darkhorse_*.deb /tmp/
RUN apt-get update && apt-get install -y --no-install-recommends /tmp/darkhorse_*.deb \
    && rm -rf /tmp/*.deb /var/lib/apt/lists/*
# It writes nothing where it serves; runs and models lie in what is mounted.
USER 65534:65534
WORKDIR /models
EXPOSE 8080
ENTRYPOINT ["darkhorse"]
CMD ["--help"]
