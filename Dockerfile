# CPU image: docker build -t harness . && docker run --rm -v "$PWD/runs:/work/runs" harness run --methods dsanet,baseline
FROM python:3.12-slim
RUN useradd --create-home harness
WORKDIR /src
COPY . .
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu -c constraints.txt .
USER harness
WORKDIR /work
ENV HARNESS_HOME=/home/harness/data
ENTRYPOINT ["harness"]
