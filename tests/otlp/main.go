// SPDX-License-Identifier: Apache-2.0

// A collector of traces for tests: it takes them as OTLP/HTTP, reads them with the OpenTelemetry
// Collector's own unmarshaller, and prints what it has read, one line of its JSON a request.
//
//	otlp --listen 127.0.0.1:4318 [--key KEY --certificate CERTIFICATE]
//
// POST /v1/traces         a batch: is printed and answered 200, or as was said before
// PUT  /answer?status=429&retry=1&wait=5s&refuse=2&times=3
//
//	the answers from now on: their status, Retry-After, how long they take, how many spans of them
//	are refused (a partial success), and for how many batches this holds; no times: for all
package main

import (
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"
)

type answer struct {
	status, refuse, times int
	retry                 string
	wait                  time.Duration
}

var (
	lock sync.Mutex
	next = answer{status: 200, times: -1}
)

func fail(w http.ResponseWriter, status int, what string) {
	fmt.Printf("{\"fault\":%q}\n", what)
	http.Error(w, what, status)
}

func take() answer {
	lock.Lock()
	defer lock.Unlock()
	a := next
	if next.times > 0 {
		next.times--
	}
	if next.times == 0 {
		next = answer{status: 200, times: -1}
	}
	return a
}

// ExportTraceServiceResponse{partial_success{rejected_spans, error_message}}.
func partial(spans int) []byte {
	inner := binary.AppendUvarint([]byte{0x08}, uint64(spans))
	inner = append(inner, 0x12, 4, 'f', 'u', 'l', 'l')
	return append([]byte{0x0a, byte(len(inner))}, inner...)
}

func traces(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		fail(w, 400, "the body is cut: "+err.Error())
		return
	}
	if t := r.Header.Get("Content-Type"); r.Method != "POST" || t != "application/x-protobuf" {
		fail(w, 415, r.Method+" of "+t)
		return
	}
	read, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(body)
	if err != nil {
		fail(w, 400, "it is no message: "+err.Error())
		return
	}
	text, err := (&ptrace.JSONMarshaler{}).MarshalTraces(read)
	if err != nil {
		fail(w, 500, err.Error())
		return
	}
	a := take()
	time.Sleep(a.wait)
	fmt.Printf("{\"status\":%d,\"bytes\":%d,\"authorization\":%q,\"batch\":%s}\n", a.status, len(body), r.Header.Get("Authorization"), text)
	w.Header().Set("Content-Type", "application/x-protobuf")
	if a.retry != "" {
		w.Header().Set("Retry-After", a.retry)
	}
	w.WriteHeader(a.status)
	if a.refuse > 0 {
		w.Write(partial(a.refuse))
	}
}

func number(r *http.Request, name string, otherwise int) int {
	n, err := strconv.Atoi(r.URL.Query().Get(name))
	if err != nil {
		return otherwise
	}
	return n
}

func control(w http.ResponseWriter, r *http.Request) {
	wait, _ := time.ParseDuration(r.URL.Query().Get("wait"))
	lock.Lock()
	next = answer{status: number(r, "status", 200), times: number(r, "times", -1), refuse: number(r, "refuse", 0),
		retry: r.URL.Query().Get("retry"), wait: wait}
	lock.Unlock()
}

func main() {
	listen := flag.String("listen", "127.0.0.1:4318", "")
	key := flag.String("key", "", "")
	certificate := flag.String("certificate", "", "")
	flag.Parse()
	http.HandleFunc("/v1/traces", traces)
	http.HandleFunc("/answer", control)
	var err error
	if *key != "" {
		err = http.ListenAndServeTLS(*listen, *certificate, *key, nil)
	} else {
		err = http.ListenAndServe(*listen, nil)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
