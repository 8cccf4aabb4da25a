// SPDX-License-Identifier: Apache-2.0

// An OpenID provider for tests and examples: the example server of github.com/zitadel/oidc, which is certified, over TLS.
//
//	idp ISSUER LISTEN CERTIFICATE KEY REDIRECT_URI LOGOUT_URI LIFE
//
// One client, "shop" with the password "s3cret"; its access tokens last LIFE. Three people, whose password is
// "verysecure": ann, joe, and eve; whoever asks for the scope "groups" finds theirs in the ID token. What tests need beside a
// provider is at /_test: down=1 answers 503 at the token endpoint, slow=2s waits before, end=1 forgets all sessions; it
// answers with how many questions the token endpoint has had.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

const scopeGroups = "groups"

type person struct {
	storage.User
	groups []string
}

type people []person

var all = people{
	{storage.User{ID: "id1", Username: "ann", Password: "verysecure", Email: "ann@example.com", EmailVerified: true},
		[]string{"staff", "managers"}},
	{storage.User{ID: "id2", Username: "joe", Password: "verysecure", Email: "joe@example.com", EmailVerified: true},
		[]string{"staff"}},
	{storage.User{ID: "id3", Username: "eve", Password: "verysecure", Email: "eve@example.com", EmailVerified: true}, nil},
}

func (p people) GetUserByID(id string) *storage.User {
	for i := range p {
		if p[i].ID == id {
			return &p[i].User
		}
	}
	return nil
}

func (p people) GetUserByUsername(name string) *storage.User {
	for i := range p {
		if p[i].Username == name {
			return &p[i].User
		}
	}
	return nil
}

func (p people) groupsOf(id string) []string {
	for i := range p {
		if p[i].ID == id {
			return p[i].groups
		}
	}
	return nil
}

func (p people) ExampleClientID() string { return storage.ServiceUserID }

type client struct {
	op.Client
	logout string
}

func (c client) PostLogoutRedirectURIs() []string { return []string{c.logout} }

func (c client) IsScopeAllowed(scope string) bool { return scope == scopeGroups }

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

func (s store) SetUserinfoFromRequest(ctx context.Context, info *oidc.UserInfo, r op.IDTokenRequest, scopes []string) error {
	if slices.Contains(scopes, scopeGroups) {
		info.AppendClaims("groups", all.groupsOf(r.GetSubject()))
	}
	return s.Storage.SetUserinfoFromRequest(ctx, info, r, scopes)
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
	if len(os.Args) != 8 {
		fmt.Fprintln(os.Stderr, "idp ISSUER LISTEN CERTIFICATE KEY REDIRECT_URI LOGOUT_URI LIFE")
		os.Exit(2)
	}
	issuer, listen, crt, key := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	life, err := time.ParseDuration(os.Args[7])
	if err != nil {
		panic(err)
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	storage.RegisterClients(storage.WebClient("shop", "s3cret", os.Args[5]))
	inner := storage.NewStorage(all)
	s := store{inner, life, os.Args[6]}
	forget := func() {
		for i := range all {
			_ = inner.TerminateSession(context.Background(), all[i].ID, "shop")
		}
	}
	f := &front{behind: exampleop.SetupServer(issuer, s, logger, false), forget: forget}
	server := &http.Server{Addr: listen, Handler: f}
	panic(server.ListenAndServeTLS(crt, key))
}
