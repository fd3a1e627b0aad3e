package cli

import (
	"errors"
	"fmt"
	"net/url"

	"mrgate/internal/config"
	"mrgate/internal/gate"
)

// withRemedy adds what to do to an error of reading a merge request that somebody
// named, where GitLab did not answer or has none to show.
func withRemedy(err error, cfg *config.Config) error {
	if _, ok := errors.AsType[*url.Error](err); ok {
		what, remedy := unreachable(err, cfg.GitLabURL, "gitlab-url", "gitlab-ca-file")
		return fmt.Errorf("GitLab cannot be read: %s; %s", what, remedy)
	}
	if errors.Is(err, gate.ErrNotFound) {
		return fmt.Errorf("%w; check the project and the number, and that the token's account is a member of the project", err)
	}
	return err
}
