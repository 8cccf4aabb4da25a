// SPDX-License-Identifier: Apache-2.0

// An OpenID provider for tests: the example server of github.com/zitadel/oidc, which is certified, over TLS.
//
//	idp PORT CERTIFICATE KEY REDIRECT_URI LOGOUT_URI LIFE
//
// One client, "shop" with the password "s3cret"; its access tokens last LIFE. What tests need beside a provider is
// at /_test: down=1 answers 503 at the token endpoint, slow=2s waits before, end=1 forgets all sessions; it answers
// with how many questions the token endpoint has had.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"
)

type client struct {
	op.Client
	logout string
}

func (c client) PostLogoutRedirectURIs() []string { return []string{c.logout} }

type store struct {
	*storage.Storage
	life   time.Duration
	logout string
}

func (s store) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	c, err := s.Storage.GetClientByClientID(ctx, id)
	if err != nil {
		return nil, err
	}
	return client{c, s.logout}, nil
}

func (s store) CreateAccessToken(ctx context.Context, r op.TokenRequest) (string, time.Time, error) {
	id, _, err := s.Storage.CreateAccessToken(ctx, r)
	return id, time.Now().Add(s.life), err
}

func (s store) CreateAccessAndRefreshTokens(ctx context.Context, r op.TokenRequest, old string) (string, string, time.Time, error) {
	id, refresh, _, err := s.Storage.CreateAccessAndRefreshTokens(ctx, r, old)
	return id, refresh, time.Now().Add(s.life), err
}

type front struct {
	behind http.Handler
	forget func()
	asked  atomic.Int64
	down   atomic.Bool
	slow   atomic.Int64
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/_test":
		q := r.URL.Query()
		slow, _ := time.ParseDuration(q.Get("slow"))
		f.down.Store(q.Get("down") != "")
		f.slow.Store(int64(slow))
		if q.Get("end") != "" {
			f.forget()
		}
		fmt.Fprint(w, f.asked.Load())
		return
	case "/oauth/token":
		f.asked.Add(1)
		time.Sleep(time.Duration(f.slow.Load()))
		if f.down.Load() {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
	}
	f.behind.ServeHTTP(w, r)
}

func main() {
	port, crt, key := os.Args[1], os.Args[2], os.Args[3]
	life, err := time.ParseDuration(os.Args[6])
	if err != nil {
		panic(err)
	}
	issuer := fmt.Sprintf("https://127.0.0.1:%s/", port)
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	storage.RegisterClients(storage.WebClient("shop", "s3cret", os.Args[4]))
	inner := storage.NewStorage(storage.NewUserStore(issuer))
	s := store{inner, life, os.Args[5]}
	forget := func() {
		for _, user := range []string{"id1", "id2"} {
			_ = inner.TerminateSession(context.Background(), user, "shop")
		}
	}
	f := &front{behind: exampleop.SetupServer(issuer, s, logger, false), forget: forget}
	server := &http.Server{Addr: "127.0.0.1:" + port, Handler: f}
	panic(server.ListenAndServeTLS(crt, key))
}
