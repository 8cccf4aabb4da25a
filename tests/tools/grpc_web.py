# SPDX-License-Identifier: Apache-2.0
"""A server of gRPC (grpcio) that knows nothing of gRPC-Web, and a Route to it, for the tests of its translation."""
import threading
from concurrent import futures

import sluice
from sluice import must

try:
    import grpc
except ImportError:
    sluice.skip('python3-grpcio is not installed')

ROUTE = '''---
apiVersion: sluice.dev/v1alpha1
kind: Route
metadata: {name: grpc, namespace: default}
spec:
  hostnames: [grpc.example.com, localhost]
  rules:
    - matches: [{path: {type: PathPrefix, value: /test.Echo}}]
      filters:
        - type: CORS
          cors:
            allowOrigins: ["https://app.example.com"]
            allowMethods: [POST]
            allowHeaders: [content-type, x-grpc-web, x-user-agent, grpc-timeout]
            exposeHeaders: [grpc-status, grpc-message]
      backendRefs: [{name: grpc, port: 80}]
    - matches: [{path: {type: PathPrefix, value: /test.Slow}}]
      timeouts: {request: 300ms}
      backendRefs: [{name: grpc, port: 80}]
    - matches: [{path: {type: PathPrefix, value: /test.Nobody}}]
      filters:
        - type: CORS
          cors: {allowOrigins: ["https://app.example.com"], exposeHeaders: [grpc-status, grpc-message]}
      backendRefs: [{name: nobody, port: 80}]
    - matches: [{path: {type: PathPrefix, value: /echo}}]
      backendRefs: [{name: plain, port: 80}]
    - matches: [{path: {type: PathPrefix, value: /page}}]
      backendRefs: [{name: page, port: 80}]
'''


def spoken(name, *ports):
    return sluice.backend(name, *ports).replace('port: 80}]', 'port: 80, appProtocol: kubernetes.io/h2c}]', 1)


left = threading.Event()  # a call that hangs was given up
more = threading.Semaphore(0)
asked = []


def unary(request, context):
    asked.append((context.time_remaining(), dict(context.invocation_metadata())))
    context.send_initial_metadata((('x-first', 'a'),))
    context.set_trailing_metadata((('x-last', 'b'), ('x-bin-bin', b'\0\xff')))
    if request == b'fail':
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, 'no % way')
    return request


def bare(request, context):
    context.abort(grpc.StatusCode.NOT_FOUND, 'not here')


def huge(request, context):
    context.set_trailing_metadata(tuple((f'x-{i}', 'v' * 1000) for i in range(int(request))))
    return b'huge'


def many(request, context):
    for i in range(int(request)):
        yield b'%d' % i


def blobs(request, context):
    for i in range(int(request)):
        yield bytes([i % 256]) * 100_000


def thrice(request, context):
    yield from [request] * 3


def step(request, context):
    """Each message when the client has seen the one before."""
    context.add_callback(left.set)
    for word in (b'one', b'', b'three!'):
        yield word
        more.acquire(timeout=20)


def hang(request, context):
    over = threading.Event()
    context.add_callback(over.set)
    context.add_callback(left.set)
    over.wait(20)
    return b''


class Server:
    def __init__(self):
        one, stream = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
        handlers = {'Unary': one(unary), 'Bare': one(bare), 'Huge': one(huge), 'Many': stream(many), 'Blobs': stream(blobs),
                    'Thrice': stream(thrice), 'Step': stream(step), 'Hang': one(hang)}
        self.server = grpc.server(futures.ThreadPoolExecutor(8), options=[('grpc.max_receive_message_length', -1)])
        for name in ('test.Echo', 'test.Slow'):
            self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
        self.port = sluice.port()
        must(self.server.add_insecure_port(f'127.0.0.1:{self.port}') == self.port, 'the port')
        self.server.start()
