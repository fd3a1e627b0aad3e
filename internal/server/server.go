// Package server is mrgate's HTTP side: it mounts the handlers that it is given
// behind limits, answers /healthz, and ends gracefully. It knows no chat and no
// code host.
//
// The limits hold for everybody, as nobody is known before a handler has looked:
// time for a header, a request and an answer; a header's size and lines; and what
// all connections together may hold (see crowd). How long a body may be is the
// handlers' to say, who know what they wait for.
//
// It speaks HTTP/1 only, in the clear: a proxy in front does the TLS. No header
// that tells on whose behalf a proxy calls is believed, or looked at.
//
// What the admin address tells beyond /healthz it is given as its routes; /readyz
// ([Ready]) is one of them. What tells more than that all is well stands behind a
// [Guard], which asks for the operator token beyond loopback.
package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// Senders are GitLab and Feishu, which send at once or not at all; slower
	// ones only hold connections. GitLab itself gives up after 10 s, and then
	// even 25 MB, its longest body, come at 20 Mbit/s.
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 20 * time.Second
	writeTimeout      = 20 * time.Second
	// A proxy that keeps connections for a minute, as many do, must not lose one
	// in the moment it sends.
	idleTimeout = 2 * time.Minute
	// net/http allows 4 KB more. An ID token has less than 2.
	maxHeaderBytes = 4 << 10
	maxHeaderLines = 100
	// shortBody is what net/http, too, reads of what nobody wants.
	shortBody = 256 << 10
	longBody  = 64 << 20
	// endWithin is how long requests under way may take at the end.
	endWithin = 1500 * time.Millisecond
)

// Config is what to serve where.
type Config struct {
	Listen string // address for the world; "": none
	Admin  string // address for operators; "": none
	// Routes are patterns of http.ServeMux, as "POST /feishu/callback". What is
	// not in it is a 404.
	Routes      map[string]http.Handler
	AdminRoutes map[string]http.Handler
	Log         *slog.Logger
}

// Server listens already, and serves as soon as Serve is called.
type Server struct {
	log   *slog.Logger
	sites []site
}

type site struct {
	name     string
	listener net.Listener
	http     *http.Server
}

// Listen takes the addresses. An address that is in use is an error.
func Listen(ctx context.Context, cfg Config) (*Server, error) {
	limitMemory()
	s := &Server{log: cfg.Log}
	for _, want := range []struct {
		name, addr string
		routes     map[string]http.Handler
	}{{"public", cfg.Listen, cfg.Routes}, {"admin", cfg.Admin, cfg.AdminRoutes}} {
		if want.addr == "" {
			continue
		}
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", want.addr)
		if err != nil {
			s.close()
			return nil, fmt.Errorf("listen on %s: %w", want.addr, err)
		}
		tcp, _ := listener.(*net.TCPListener) // as was asked for
		all := &crowd{TCPListener: tcp, log: cfg.Log, most: load{maxGuests, maxSmall, maxLarge}}
		only := &http.Protocols{}
		only.SetHTTP1(true)
		s.sites = append(s.sites, site{want.name, all, &http.Server{
			Handler:           mount(want.routes, cfg.Log),
			Protocols:         only,
			ReadHeaderTimeout: readHeaderTimeout,
			ReadTimeout:       readTimeout,
			WriteTimeout:      writeTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeaderBytes,
			ConnState:         all.state,
			ConnContext:       withGuest,
			// "OPTIONS *" is as unknown as any other path.
			DisableGeneralOptionsHandler: true,

			ErrorLog: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
		}})
	}
	return s, nil
}

// mount routes to the handlers, and answers /healthz. Whatever is not there, be
// it the path or the method, is answered alike.
func mount(routes map[string]http.Handler, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n"))
	})
	for pattern, handler := range routes {
		mux.Handle(pattern, handler)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Cache-Control", "no-store")
		if lines(r.Header) > maxHeaderLines {
			header.Set("Connection", "close")
			http.Error(w, "too many header lines", http.StatusRequestHeaderFieldsTooLarge)
			return
		}
		r = arrived(r)
		_, pattern := mux.Handler(r)
		if asked := r.URL.EscapedPath(); pattern == "" || path.Clean(asked) != asked { // ServeMux would redirect
			http.NotFound(w, r)
			return
		}
		answer := &answer{ResponseWriter: w}
		defer func() {
			if p := recover(); p != nil {
				answer.failed(r, pattern, p, log)
			}
		}()
		mux.ServeHTTP(answer, r)
		drain(r, answer.status)
	})
}

// drain reads what a handler has left of a body, of a short one, or of anybody's
// who was told that all is well. The answer is sent after that: to a sender who is
// still sending, it would be lost with the connection.
func drain(r *http.Request, status int) {
	most := int64(shortBody)
	if status < http.StatusMultipleChoices {
		most = longBody
	}
	if r.ContentLength > most || r.Header.Get("Expect") != "" {
		return
	}
	if b, ok := r.Body.(*body); ok {
		b.from.discards()
	}
	_, _ = io.CopyN(io.Discard, r.Body, most)
}

func lines(header http.Header) int {
	n := 0
	for _, values := range header {
		n += len(values)
	}
	return n
}

// answer knows its status; 0: it has not begun.
type answer struct {
	http.ResponseWriter
	status int
}

func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= http.StatusOK {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// failed answers for a handler that has panicked, without details. The log gets
// those, but nothing of what was sent.
func (a *answer) failed(r *http.Request, pattern string, p any, log *slog.Logger) {
	if p == any(http.ErrAbortHandler) {
		panic(p)
	}
	log.ErrorContext(r.Context(), "a request was not handled", "route", pattern, "panic", said(p), "stack", string(debug.Stack()))
	if a.status != 0 {
		panic(http.ErrAbortHandler) // what was written must not look whole
	}
	http.Error(a.ResponseWriter, "internal error", http.StatusInternalServerError)
}

// said is what a panic says, if it is the runtime's word: others' could be made
// of what was sent.
func said(p any) string {
	if err, ok := p.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("of type %T", p)
}

// Serve serves until ctx ends, then answers what is under way, for a second or
// two, and returns nil.
func (s *Server) Serve(ctx context.Context) error {
	group, ended := errgroup.WithContext(ctx)
	for _, site := range s.sites {
		s.log.Info("listening", "for", site.name, "addr", site.listener.Addr().String())
		group.Go(func() error {
			if err := site.http.Serve(site.listener); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve %s: %w", site.listener.Addr(), err)
			}
			return nil
		})
		group.Go(func() error {
			<-ended.Done()
			limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), endWithin)
			defer cancel()
			if err := site.http.Shutdown(limit); err != nil {
				return errors.Join(site.http.Close())
			}
			return nil
		})
	}
	return group.Wait()
}

func (s *Server) close() {
	for _, site := range s.sites {
		_ = site.listener.Close()
	}
}
