package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// bareCommand has this program be the bare handler.
const bareCommand = "bare"

// serveBare is what there is to beat: a handler that writes each click to the end
// of a file and waits until that is on disk. It says where it listens.
func serveBare(file string) error {
	f, err := os.Create(file) //nolint:gosec // this program itself names it
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("http://" + l.Addr().String())
	var mu sync.Mutex
	write := func(click []byte) error {
		mu.Lock()
		defer mu.Unlock()
		if _, err := f.Write(click); err != nil {
			return err
		}
		return f.Sync()
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		click, err := io.ReadAll(r.Body)
		if err == nil {
			err = write(click)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = io.WriteString(w, `{"toast":{"type":"success"}}`)
	})}
	return server.Serve(l)
}

// bare sends clicks to a bare handler in a process of its own.
func (w *world) bare(ctx context.Context, s sending) (sent, error) {
	self, err := os.Executable()
	if err != nil {
		return sent{}, err
	}
	cmd := exec.CommandContext(ctx, self, bareCommand, filepath.Join(w.dir, "bare")) //nolint:gosec // itself
	out, err := cmd.StdoutPipe()
	if err != nil {
		return sent{}, err
	}
	if err := cmd.Start(); err != nil {
		return sent{}, err
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed, it ends with an error
	}()
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return sent{}, fmt.Errorf("start the bare handler: %w", err)
	}
	s.URL = strings.TrimSpace(address)
	return s.send(ctx)
}
