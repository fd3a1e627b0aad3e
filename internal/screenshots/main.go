// Screenshots makes the pictures in docs/screenshots, with chromium, of what the
// program really shows: cards, as they are drawn from what is sent to Feishu, the
// listener's page, between a GitLab and a Feishu that are simulated, and the sandbox.
//
//	go run ./internal/screenshots
//	go run ./internal/screenshots -out /tmp/pictures -only page
//
// Look at each of them after a change of how things look, and commit those that
// have changed. The sheets of all cards are for looking at alone: git ignores them.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"

	"github.com/chromedp/chromedp"

	"mrgate/internal/browser"
)

func main() {
	out := flag.String("out", "docs/screenshots", "the `directory` for the pictures")
	only := flag.String("only", "", "of what: card, page or sandbox; \"\": of all")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *out, *only)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "screenshots:", err)
		os.Exit(1)
	}
}

// studio makes pictures.
type studio struct {
	browser context.Context //nolint:containedctx // chromedp's handle of the browser
	out     string
	mrgate  string // the program
	dir     string // for all that goes when it ends
}

func run(ctx context.Context, out, only string) error {
	chromium, end, err := browser.Start(ctx)
	if err != nil {
		return fmt.Errorf("%w; on Debian: apt-get install chromium fonts-noto-cjk", err)
	}
	defer end()
	dir, err := os.MkdirTemp("", "mrgate-screenshots-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s := &studio{browser: chromium, out: out, mrgate: filepath.Join(dir, "mrgate"), dir: dir}
	if said, err := exec.CommandContext(ctx, "go", "build", "-o", s.mrgate, "mrgate/cmd/mrgate").CombinedOutput(); err != nil { //nolint:gosec // a path made here
		return fmt.Errorf("build mrgate: %w\n%s", err, said)
	}
	if err := os.MkdirAll(out, 0o750); err != nil {
		return err
	}
	for _, subject := range []struct {
		name string
		take func(context.Context) error
	}{{"card", s.card}, {"page", s.page}, {"sandbox", s.sandbox}} {
		if only != "" && only != subject.name {
			continue
		}
		if err := subject.take(ctx); err != nil {
			return fmt.Errorf("pictures of the %s: %w", subject.name, err)
		}
	}
	return nil
}

// looks are those at which each page is looked.
func looks() map[string]browser.Look {
	return map[string]browser.Look{
		"light": {Width: 1280, Height: 200},
		"dark":  {Width: 1280, Height: 200, Dark: true},
		"phone": {Width: 380, Height: 200},
	}
}

// whole takes a picture of all of a page, however long.
func whole() chromedp.Action[[]byte] { return chromedp.FullScreenshot(100) }

// picture writes a picture that take takes, and complains about what the page does
// that it should not.
func (s *studio) picture(name, address string, take chromedp.Action[[]byte], look browser.Look) error {
	tab, err := browser.Open(s.browser, address, look)
	if err != nil {
		return err
	}
	defer tab.Close()
	png, err := chromedp.Run(tab.Context, take)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if wrong := tab.Wrong(); len(wrong) > 0 {
		return fmt.Errorf("%s: %s", name, wrong[0])
	}
	path := filepath.Join(s.out, name+".png")
	fmt.Println(path)
	return os.WriteFile(path, png, 0o644) //nolint:gosec // a picture for everybody
}
