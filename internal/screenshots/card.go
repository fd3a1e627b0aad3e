package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"github.com/chromedp/chromedp"

	"mrgate/internal/browser"
	"mrgate/internal/sandbox"
)

// cardFiles are the golden cards, as they are sent.
const cardFiles = "internal/feishu/testdata/cards"

// card takes the pictures of cards: a sheet with all of them in each language, and
// one by itself, for docs/feishu-app.md.
func (s *studio) card(context.Context) error {
	for _, language := range []string{"en", "zh"} {
		paths, err := filepath.Glob(filepath.Join(cardFiles, "*."+language+".json"))
		if err != nil || len(paths) == 0 {
			return fmt.Errorf("there are no cards in %s; run this where go.mod is", cardFiles)
		}
		cards := make([]sandbox.SheetCard, len(paths))
		for i, path := range paths {
			name := strings.TrimSuffix(filepath.Base(path), "."+language+".json")
			raw, err := os.ReadFile(path) //nolint:gosec // of this repository
			if err != nil {
				return err
			}
			cards[i] = sandbox.SheetCard{Name: name, JSON: raw}
			if name == "pending" {
				if err := s.sheet("card-"+language, cards[i:i+1], chromedp.ScreenshotScale(chromedp.CSS(".phone"), 1), browser.Look{Width: 984, Height: 200, Sharp: true}); err != nil {
					return err
				}
			}
		}
		for name, dark := range map[string]bool{"light": false, "dark": true} {
			if err := s.sheet("cards-"+language+"-"+name, cards, whole(), browser.Look{Width: 984, Height: 200, Dark: dark}); err != nil {
				return err
			}
		}
	}
	return nil
}

// sheet writes a picture of a page with cards.
func (s *studio) sheet(name string, cards []sandbox.SheetCard, take chromedp.Action[[]byte], look browser.Look) error {
	var page bytes.Buffer
	if err := sandbox.CardSheet(&page, cards); err != nil {
		return err
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" { // the browser looks for an icon
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(page.Bytes())
	}))
	defer server.Close()
	return s.picture(name, server.URL+"/", take, look)
}
