"""An OpenTelemetry collector over real gRPC, in a process of its own: it keeps what it is sent in a folder.

Its last argument says how it answers: ``takes``, ``refuses`` (with a token in its words) or ``hangs``.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc


class Collector(metrics_service_pb2_grpc.MetricsServiceServicer):
    def __init__(self, folder, manner):
        self._folder, self._manner, self._numbers = folder, manner, count()

    def Export(self, request, context):  # noqa: N802 - the protocol's name
        headers = dict(context.invocation_metadata())
        if self._manner == "hangs":
            time.sleep(60)
        if self._manner == "refuses":
            context.abort(grpc.StatusCode.PERMISSION_DENIED, f"not with {headers.get('x-token')}")
        number = next(self._numbers)
        (self._folder / f"{number:04}.json").write_text(json.dumps(headers))
        (self._folder / f"{number:04}.pb").write_bytes(request.SerializeToString())
        return metrics_service_pb2.ExportMetricsServiceResponse()


if __name__ == "__main__":
    folder, manner = sys.argv[1:]
    server = grpc.server(ThreadPoolExecutor(2))
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(Collector(Path(folder), manner), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    server.wait_for_termination(60)
