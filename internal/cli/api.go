package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"mrgate/internal/config"
	"mrgate/internal/gate"
	"mrgate/internal/gitlab"
	"mrgate/internal/server"
)

// newAPI gives the listener's API, which ends its waits with ctx.
func newAPI(ctx context.Context, cfg *config.Config, g *gate.Gate, forge *gitlab.Forge, log *slog.Logger) *server.API {
	api := &server.API{
		Gate: g, Code: forge,
		Tokens: tokens(cfg.APIToken), Operators: tokens(cfg.OperatorToken),
		Ending: ctx.Done(), Log: log,
	}
	if cfg.PublicURL == "" {
		return api
	}
	ids := forge.NewIDTokens(cfg.PublicURL)
	api.Job = func(ctx context.Context, token string) (server.Job, error) {
		claims, err := ids.Verify(ctx, token)
		if errors.Is(err, gitlab.ErrKeys) {
			return server.Job{}, fmt.Errorf("%w: %w", server.ErrUnverified, err)
		}
		return server.Job{Project: claims.Project, Path: claims.Path}, err
	}
	return api
}

func tokens(secrets config.Secrets) []server.Token {
	list := make([]server.Token, len(secrets))
	for i := range secrets {
		list[i] = server.Token{Name: secrets[i].Name(), Value: secrets[i].Reveal()}
	}
	return list
}
