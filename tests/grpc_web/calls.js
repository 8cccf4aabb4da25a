// SPDX-License-Identifier: Apache-2.0
//
// calls BASE: what two real clients of gRPC-Web make of the calls of tests/e2e/grpc-web, one line of JSON each:
// Google's (grpc-web, over an XMLHttpRequest) in text and in binary, and Connect's (over fetch).
import {create} from '@bufbuild/protobuf';
import {StringValueSchema} from '@bufbuild/protobuf/wkt';
import {createGrpcWebTransport} from '@connectrpc/connect-web';
import xhr2 from 'xhr2';

globalThis.XMLHttpRequest = xhr2.XMLHttpRequest ?? xhr2;
const web = (await import('grpc-web')).default;
const base = process.argv[2];
const bytes = (text) => new TextEncoder().encode(text);
const say = (name, what) => console.log(JSON.stringify({name, ...what}));

// ---- grpc-web ----

function method(path, type) {
  return new web.MethodDescriptor(path, type, Object, Object, bytes, (b) => new TextDecoder().decode(b));
}

function google(format, path, text, metadata = {}) {
  const client = new web.GrpcWebClientBase({format});
  return new Promise((done) => {
    const got = {};
    const call = client.rpcCall(base + path, text, metadata, method(path, web.MethodType.UNARY), (error, answer) => {
      got.answer = answer;
      if (error) done({code: error.code, message: error.message});
    });
    call.on('metadata', (m) => { got.head = m; });
    call.on('status', (s) => { got.status = s; });
    call.on('end', () => done({answer: got.answer, code: got.status?.code, last: got.status?.metadata?.['x-last']}));
  });
}

function googleStream(path, text) {
  const client = new web.GrpcWebClientBase({format: 'text'});
  return new Promise((done) => {
    const answers = [];
    const call = client.serverStreaming(base + path, text, {}, method(path, web.MethodType.SERVER_STREAMING));
    call.on('data', (d) => answers.push(d));
    call.on('error', (e) => done({code: e.code, message: e.message, answers}));
    call.on('end', () => done({answers}));
  });
}

for (const format of ['text', 'binary']) {
  say(`google ${format}`, await google(format, '/test.Echo/Unary', 'hello'));
  say(`google ${format} fails`, await google(format, '/test.Echo/Unary', 'fail'));
  say(`google ${format} bare`, await google(format, '/test.Echo/Bare', ''));
  say(`google ${format} nobody`, await google(format, '/test.Nobody/X', ''));
  say(`google ${format} deadline`, await google(format, '/test.Echo/Hang', '', {'grpc-timeout': '200m'}));
}
say('google stream', await googleStream('/test.Echo/Many', '500'));

// ---- Connect ----

const transport = createGrpcWebTransport({baseUrl: base});
const rpc = (service, name, kind) => ({
  kind: 'rpc', name, localName: name, methodKind: kind, parent: {typeName: service},
  input: StringValueSchema, output: StringValueSchema,
});

async function connect(service, name, value, ms) {
  try {
    const got = await transport.unary(rpc(service, name, 'unary'), undefined, ms, undefined,
        create(StringValueSchema, {value}));
    return {answer: got.message.value, last: got.trailer.get('x-last'), code: 0};
  } catch (e) {
    return {code: e.code, message: e.rawMessage};
  }
}

async function connectStream(value) {
  const answers = [];
  async function* one() { yield create(StringValueSchema, {value}); }
  try {
    const got = await transport.stream(rpc('test.Echo', 'Thrice', 'server_streaming'), undefined, undefined, undefined,
        one());
    for await (const m of got.message) answers.push(m.value);
    return {answers, code: 0};
  } catch (e) {
    return {answers, code: e.code, message: e.rawMessage};
  }
}

say('connect', await connect('test.Echo', 'Unary', 'hello'));
say('connect bare', await connect('test.Echo', 'Bare', ''));
say('connect nobody', await connect('test.Nobody', 'X', ''));
say('connect deadline', await connect('test.Echo', 'Hang', '', 200));
say('connect stream', await connectStream('again'));
process.exit(0);
