"""Reads bodies of OTLP requests in JSON from stdin, one a line, as strictly as the schema allows.

Needs opentelemetry-proto (PyPI), which is made of the schema itself. Says how many spans there are; ends
with an error for a field that the schema does not have, a wrong type, or an id of a wrong length.
"""

import base64
import json
import sys

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

# OTLP has these in hexadecimal where protobuf's own JSON has base64; all else is the same.
IDS = {"traceId": 16, "spanId": 8, "parentSpanId": 8}


def with_base64_ids(value):
    if isinstance(value, list):
        return [with_base64_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    changed = {}
    for key, item in value.items():
        if key in IDS:
            raw = bytes.fromhex(item)
            assert len(raw) == IDS[key] and any(raw), (key, item)
            changed[key] = base64.b64encode(raw).decode()
        else:
            changed[key] = with_base64_ids(item)
    return changed


spans = 0
for line in sys.stdin:
    request = ExportTraceServiceRequest()
    json_format.ParseDict(with_base64_ids(json.loads(line)), request, ignore_unknown_fields=False)
    for resource in request.resource_spans:
        assert any(a.key == "service.name" for a in resource.resource.attributes)
        for scope in resource.scope_spans:
            for span in scope.spans:
                assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano, span
                spans += 1
assert spans > 0
print(spans)
