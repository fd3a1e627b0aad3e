// Package server is mrgate's HTTP side: it mounts the handlers that it is given
// behind time and size limits, answers /healthz, and ends gracefully. It knows
// no chat and no code host.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// Senders are GitLab and Feishu, which send at once or not at all; slower
	// ones only hold connections.
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 20 * time.Second
	writeTimeout      = 20 * time.Second
	idleTimeout       = 60 * time.Second
	maxHeaderBytes    = 16 << 10
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
		s.sites = append(s.sites, site{want.name, listener, &http.Server{
			Handler:           mount(want.routes),
			ReadHeaderTimeout: readHeaderTimeout,
			ReadTimeout:       readTimeout,
			WriteTimeout:      writeTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeaderBytes,
			ErrorLog:          slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
		}})
	}
	return s, nil
}

// mount routes to the handlers, and answers /healthz.
func mount(routes map[string]http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n"))
	})
	for pattern, handler := range routes {
		mux.Handle(pattern, handler)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
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
