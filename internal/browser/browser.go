// Package browser drives a chromium, for tests of mrgate's pages and for pictures
// of them. It is no part of the program.
//
// A [Tab] keeps what a page should not do: write errors to its console, and ask
// anybody but its own server. [Tab.Violations] holds what it shows against the
// rules of accessibility.
package browser

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// ErrMissing : there is no chromium on this machine.
var ErrMissing = errors.New("chromium is not installed")

// Start starts a chromium; end ends it, and all of its tabs.
func Start(ctx context.Context) (browser context.Context, end func(), err error) {
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err = exec.LookPath(name); err == nil {
			break
		}
	}
	if path == "" {
		return nil, nil, ErrMissing
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(path),
		chromedp.NoSandbox, // as root, in a container, there is none to be had; only own pages are opened
		chromedp.DisableGPU, chromedp.Flag("force-color-profile", "srgb"), chromedp.Flag("hide-scrollbars", true), chromedp.Flag("lang", "en"))
	allocated, cancel := chromedp.NewExecAllocator(ctx, options...)
	browser, close := chromedp.NewContext(allocated)
	end = func() { close(); cancel() }
	if err := chromedp.Do(browser); err != nil {
		end()
		return nil, nil, fmt.Errorf("start %s: %w", path, err)
	}
	return browser, end, nil
}

// ForTest starts a chromium for a test. Where there is none the test is skipped;
// in a pipeline, whose environment has CI, it fails.
func ForTest(t testing.TB) context.Context {
	t.Helper()
	browser, end, err := Start(context.Background())
	switch {
	case errors.Is(err, ErrMissing) && os.Getenv("CI") == "":
		t.Skip("NOT TESTED in a browser: chromium is not installed (apt-get install chromium)")
	case err != nil:
		t.Fatal(err)
	}
	t.Cleanup(end)
	return browser
}

// Tab is a page in a browser, and what it did that it should not.
type Tab struct {
	Context context.Context //nolint:containedctx // chromedp's handle of the tab
	Close   func()

	mu    sync.Mutex
	wrong []string
}

// Look is how a page is looked at.
type Look struct {
	Width, Height int64 // of the window; 0: 1280 × 900
	Dark          bool
	NoScript      bool
	Sharp         bool // twice the pixels, for pictures
}

// Open opens an address in a tab of its own.
func Open(browser context.Context, address string, look Look) (*Tab, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("open a page: %w", err)
	}
	tab := &Tab{}
	tab.Context, tab.Close = chromedp.NewContext(browser)
	if err := chromedp.Listen(tab.Context, func(event any) { tab.watch(event, u.Host) }); err != nil {
		tab.Close()
		return nil, fmt.Errorf("open a tab: %w", err)
	}
	width, height, scale, scheme := look.Width, look.Height, 1.0, "light"
	if width == 0 {
		width, height = 1280, 900
	}
	if look.Sharp {
		scale = 2
	}
	if look.Dark {
		scheme = "dark"
	}
	err = chromedp.Do(tab.Context, call(network.Enable, network.EnableParams{}), call(log.Enable, cdp.Empty{}),
		call(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: scale}),
		call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
		}}),
		call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: look.NoScript}),
		chromedp.Navigate(address))
	if err != nil {
		tab.Close()
		return nil, fmt.Errorf("open %s: %w", address, err)
	}
	return tab, nil
}

// call is a command of the browser, as a step.
func call[P, R any](command cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, command, params)
		return err
	})
}

// watch takes in what the page did.
func (t *Tab) watch(event any, host string) {
	say := func(format string, args ...any) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.wrong = append(t.wrong, fmt.Sprintf(format, args...))
	}
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if u, err := url.Parse(e.Request.URL); err != nil || u.Host != host && u.Scheme != "data" && u.Scheme != "about" && u.Scheme != "blob" {
			say("it asks %s", e.Request.URL)
		}
	case *runtime.EventExceptionThrown:
		what := e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			what += " " + e.ExceptionDetails.Exception.Description
		}
		say("its script fails: %s", what)
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning || e.Type == runtime.ConsoleAPICalledTypeAssert {
			args, _ := json.Marshal(e.Args)
			say("it writes to the console: %s", args)
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			say("the browser says: %s (%s)", e.Entry.Text, e.Entry.URL)
		}
	}
}

// Wrong is what the page did so far that it should not: errors in its console, and
// calls to others.
func (t *Tab) Wrong() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.wrong...)
}

// Text is what is to be read in the first element that the selector finds.
func (t *Tab) Text(selector string) (string, error) {
	return chromedp.Run(t.Context, chromedp.Text(chromedp.CSS(selector)))
}
