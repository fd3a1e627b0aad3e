// Command mrgate carries a person's approval from a chat to a code host.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"mrgate/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Run(ctx, os.Args[1:], cli.OS())
	stop()
	os.Exit(code)
}
