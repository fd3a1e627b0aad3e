package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"time"

	"github.com/chromedp/chromedp"

	"mrgate/internal/browser"
)

// sandbox takes the pictures of the sandbox: as it is found, and after some play.
func (s *studio) sandbox(ctx context.Context) error {
	for _, locale := range []string{"en", "zh"} {
		if err := s.play(ctx, locale); err != nil {
			return err
		}
	}
	return nil
}

// played is what a visitor does, as a script in the page: the selectors of what is
// pressed, one after the other.
func played() []string {
	press := func(who, action string) string {
		return fmt.Sprintf(`#phone-%s .cards > .card:first-child .fs-button[value*='"a":"%s"']`, who, action)
	}
	return []string{"#open", "#open", press("dave", "approve"), press("alice", "approve")}
}

func (s *studio) play(ctx context.Context, locale string) (err error) {
	cmd := exec.CommandContext(ctx, s.mrgate, "sandbox", "--listen", "127.0.0.1:0", "--locale", locale) //nolint:gosec // it was built here
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }                               // it has a child to end
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() {
		_ = cmd.Process.Signal(os.Interrupt)
		err = errors.Join(err, cmd.Wait())
	}()
	address := ""
	for lines := bufio.NewScanner(out); address == "" && lines.Scan(); {
		address = regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(lines.Text())
	}
	visit, err := browser.Open(s.browser, address, browser.Look{Width: 1440, Height: 1000})
	if err != nil {
		return err
	}
	defer visit.Close()
	for _, selector := range played() {
		script := fmt.Sprintf(`(() => { const b = document.querySelector(%q); b?.click(); document.querySelector("dialog[open] [type=submit]")?.click(); return b !== null })()`, selector)
		for pressed, tries := false, 0; !pressed; tries++ {
			if pressed, err = chromedp.Run(visit.Context, chromedp.Evaluate[bool](script)); err != nil {
				return err
			}
			if tries > 100 {
				return fmt.Errorf("there is nothing to press: %s", selector)
			}
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(1500 * time.Millisecond) // until all cards have followed
	}
	for look, how := range map[string]browser.Look{
		"light": {Width: 1440, Height: 1000},
		"dark":  {Width: 1440, Height: 1000, Dark: true},
		"phone": {Width: 380, Height: 1600},
	} {
		if err := s.picture("sandbox-"+locale+"-"+look, address, chromedp.CaptureScreenshot(), how); err != nil {
			return err
		}
	}
	return nil
}
