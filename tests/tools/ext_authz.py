# SPDX-License-Identifier: Apache-2.0
"""An authentication service that speaks Envoy's ext_authz (envoy.service.auth.v3.Authorization) over
gRPC, by grpcio and Google's own protobuf: what the proxy writes is read by somebody else's code.

    with ext_authz.Server(lambda question: ext_authz.allow({'x-user': 'joe'})) as service: service.port
"""
from concurrent import futures

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

NAME = 'envoy.service.auth.v3.Authorization'
TYPES = descriptor_pb2.FieldDescriptorProto
# Of the .proto files what counts here. A map is a list of entries on the wire.
SCHEMA = {
    'CheckRequest': {'attributes': (1, 'AttributeContext')},
    'AttributeContext': {'source': (1, 'Peer'), 'destination': (2, 'Peer'), 'request': (4, 'Request')},
    'Peer': {'address': (1, 'Address')},
    'Address': {'socket_address': (1, 'SocketAddress')},
    'SocketAddress': {'address': (2, str), 'port_value': (3, int)},
    'Request': {'time': (1, 'Timestamp'), 'http': (2, 'HttpRequest')},
    'Timestamp': {'seconds': (1, int)},
    'HttpRequest': {'id': (1, str), 'method': (2, str), 'headers': (3, ['HeaderValue']), 'path': (4, str), 'host': (5, str),
                    'scheme': (6, str), 'query': (7, str), 'fragment': (8, str), 'size': (9, int), 'protocol': (10, str),
                    'body': (11, str), 'raw_body': (12, bytes)},
    'HeaderValue': {'key': (1, str), 'value': (2, str), 'raw_value': (3, bytes)},
    'HeaderValueOption': {'header': (1, 'HeaderValue')},
    'Status': {'code': (1, int), 'message': (2, str)},
    'HttpStatus': {'code': (1, int)},
    'DeniedHttpResponse': {'status': (1, 'HttpStatus'), 'headers': (2, ['HeaderValueOption']), 'body': (3, str)},
    'OkHttpResponse': {'headers': (2, ['HeaderValueOption']), 'headers_to_remove': (5, [str]),
                       'response_headers_to_add': (6, ['HeaderValueOption'])},
    'CheckResponse': {'status': (1, 'Status'), 'denied_response': (2, 'DeniedHttpResponse'),
                      'ok_response': (3, 'OkHttpResponse')},
}


def _messages():
    file = descriptor_pb2.FileDescriptorProto(name='ext_authz.proto', package='ext_authz', syntax='proto3')
    for name, fields in SCHEMA.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            many = isinstance(kind, list)
            kind = kind[0] if many else kind
            f = message.field.add(name=field, number=number,
                                  label=TYPES.LABEL_REPEATED if many else TYPES.LABEL_OPTIONAL)
            if isinstance(kind, str):
                f.type, f.type_name = TYPES.TYPE_MESSAGE, f'.ext_authz.{kind}'
            else:
                f.type = {str: TYPES.TYPE_STRING, bytes: TYPES.TYPE_BYTES, int: TYPES.TYPE_INT64}[kind]
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    factory = message_factory.MessageFactory(pool)
    return {name: factory.GetPrototype(pool.FindMessageTypeByName(f'ext_authz.{name}')) for name in SCHEMA}


M = _messages()


def options(fields):
    return [M['HeaderValueOption'](header=M['HeaderValue'](key=k, value=v)) for k, v in fields.items()]


def allow(headers=None, remove=(), to_client=None):
    return M['CheckResponse'](status=M['Status'](code=0), ok_response=M['OkHttpResponse'](
        headers=options(headers or {}), headers_to_remove=remove, response_headers_to_add=options(to_client or {})))


def deny(status=0, headers=None, body='', code=7):
    return M['CheckResponse'](status=M['Status'](code=code), denied_response=M['DeniedHttpResponse'](
        status=M['HttpStatus'](code=status), headers=options(headers or {}), body=body))


class Server:
    """decide(HttpRequest, CheckRequest, context) → a message, or bytes as they are."""

    def __init__(self, decide, at=0):
        self.decide, self.asked = decide, []

        def check(question, context):
            self.asked.append(question)
            answer = self.decide(question, context)
            return answer if isinstance(answer, bytes) else answer.SerializeToString()

        handler = grpc.unary_unary_rpc_method_handler(check, request_deserializer=M['CheckRequest'].FromString)
        self.server = grpc.server(futures.ThreadPoolExecutor(16), options=[('grpc.so_reuseport', 0)])
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(NAME, {'Check': handler}),))
        self.port = self.server.add_insecure_port(f'127.0.0.1:{at}')
        self.server.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.stop(0)
