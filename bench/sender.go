package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// senderCommand has this program be the one who clicks: a process of its own, as
// Feishu is one, since in this one the answers would wait behind the simulators.
const senderCommand = "send"

// press is a click on its way: what Feishu posts, ready to be sent.
type press struct {
	Header  http.Header
	Body    []byte
	Project int64
	IID     int
}

// sending is what to send: so many a second, whether or not those before were
// answered; or, where Rate is 0, each of so many clients one after the other.
type sending struct {
	URL     string
	Rate    int
	Clients int
	List    []press
}

// sent is how long each took, and all together.
type sent struct {
	Took []time.Duration
	All  time.Duration
}

// send sends them from a process of its own.
func (s sending) send(ctx context.Context) (sent, error) {
	self, err := os.Executable()
	if err != nil {
		return sent{}, err
	}
	in, err := json.Marshal(s)
	if err != nil {
		return sent{}, err
	}
	cmd := exec.CommandContext(ctx, self, senderCommand) //nolint:gosec // itself
	cmd.Stdin = bytes.NewReader(in)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return sent{}, fmt.Errorf("send clicks: %w", err)
	}
	var result sent
	return result, json.Unmarshal(out, &result)
}

// serveSending is that process.
func serveSending() error {
	var s sending
	if err := json.NewDecoder(os.Stdin).Decode(&s); err != nil {
		return err
	}
	result, err := s.here(context.Background())
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

// here sends them from this process.
func (s sending) here(ctx context.Context) (sent, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 500}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	result, errs := sent{Took: make([]time.Duration, len(s.List))}, make([]error, len(s.List))
	began := time.Now()
	one := func(i int, due time.Time) {
		errs[i] = s.List[i].send(ctx, client, s.URL)
		result.Took[i] = time.Since(due)
	}
	var all sync.WaitGroup
	if s.Rate > 0 {
		for i := range s.List {
			// Counted from when it is due: a sender that waits for a slow answer would
			// leave out those who would have waited behind it.
			due := began.Add(time.Duration(i) * time.Second / time.Duration(s.Rate))
			sleepUntil(due)
			all.Go(func() { one(i, due) })
		}
	} else {
		var next atomic.Int64
		for range s.Clients {
			all.Go(func() {
				for i := int(next.Add(1)) - 1; i < len(s.List); i = int(next.Add(1)) - 1 {
					one(i, time.Now())
				}
			})
		}
	}
	all.Wait()
	result.All = time.Since(began)
	return result, errors.Join(errs...)
}

// sleepUntil is late by some 50 µs. time.Sleep is by up to a millisecond, as the
// system call that it waits in counts those, and a click's time begins when it is due.
func sleepUntil(due time.Time) {
	for d := time.Until(due); d > 0; d = time.Until(due) { // a signal ends it early
		ts := syscall.NsecToTimespec(int64(d))
		_ = syscall.Nanosleep(&ts, nil)
	}
}

func (p *press) send(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(p.Body))
	if err != nil {
		return err
	}
	req.Header = p.Header
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("click: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("click: %w", err)
	}
	var answer struct {
		Toast struct{ Type, Content string }
	}
	if err := json.Unmarshal(body, &answer); err != nil || resp.StatusCode != http.StatusOK || answer.Toast.Type != "success" {
		return fmt.Errorf("a click was answered %d %.300s", resp.StatusCode, body)
	}
	return nil
}
