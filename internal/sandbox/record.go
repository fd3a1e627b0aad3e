package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// recorder writes the bodies of requests and answers to files.
type recorder struct {
	dir string // "": it does not

	mu      sync.Mutex
	written map[string]string // the file's beginning, by the step's ID
	err     error             // the first
}

func newRecorder(dir string) (*recorder, error) {
	if dir == "" {
		return &recorder{}, nil
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("--record: %w; name a directory that can be written", err)
	}
	r := &recorder{dir: dir, written: map[string]string{}}
	r.keep("index.txt", "What mrgate and the two simulators said to each other, in the order in which it ended.\n\n", os.O_TRUNC)
	return r, r.failed()
}

// write writes down a request and its answer: 0007-mrgate-to-gitlab.request.json
// and 0007-mrgate-to-gitlab.answer.json, and what it was about in index.txt.
func (r *recorder) write(s step) {
	if r.dir == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil || r.written[s.ID] != "" {
		return
	}
	name := fmt.Sprintf("%04d-%s-to-%s", len(r.written)+1, strings.ToLower(s.From), strings.ToLower(s.To))
	r.written[s.ID] = name
	r.keep(name+".request.json", s.Request, os.O_TRUNC)
	r.keep(name+".answer.json", s.Answer, os.O_TRUNC)
	r.keep("index.txt", fmt.Sprintf("%s  %s  %s  (%s)\n", name, s.HTTP, s.Result, s.What), os.O_APPEND)
}

func (r *recorder) keep(name, text string, how int) {
	if r.err != nil || text == "" {
		return
	}
	f, err := os.OpenFile(filepath.Join(r.dir, name), os.O_CREATE|os.O_WRONLY|how, 0o600) //nolint:gosec // the directory is the user's own choice
	if err == nil {
		_, err = f.WriteString(text)
		if closing := f.Close(); err == nil {
			err = closing
		}
	}
	r.err = err
}

// failed is why something could not be written down; nil: everything was.
func (r *recorder) failed() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		return nil
	}
	return fmt.Errorf("--record: %w", r.err)
}
