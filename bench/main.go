// Bench measures how fast and how small mrgate is, and prints that beside what is
// asked of it:
//
//	go run ./bench
//	go run ./bench -merge-requests 500 -clicks 100 -past 10000   # sooner, and less telling
//	go run ./bench -parts rate,clients                           # these figures alone
//
// It builds mrgate and starts its listener against a simulated GitLab and a
// simulated Feishu, which are in this process and on the same machine, and so
// share its cores. Everything goes the way it goes in earnest: the database is
// filled by webhooks, clicks are signed and encrypted callbacks, and what follows
// them (approve, read, merge, note, cards) is done while the next ones come.
// docs/performance.md says what the figures mean.
//
// Figures of a machine that is busy with other things say little: it says so if it
// was, and the bare handler beside them, which does nothing but one fsync a click,
// says how busy. On a file system in memory (-dir) fsync costs nothing, and neither
// of the two figures says anything. The past requests take about two gigabytes.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// The budgets, on a machine with two cores.
const (
	budgetAnswer = 5 * time.Millisecond  // from a click to its answer, the slowest of a hundred
	budgetCall   = 10 * time.Millisecond // from a click to GitLab's first call, every second one
	budgetIdle   = 30                    // MiB of an idle listener
	budgetMost   = 100                   // MiB with 10,000 open merge requests, whatever happens
)

// memory is what the simulators may take. To collect what they no longer use keeps
// both cores busy for a tenth of a second, since they hold all merge requests, and
// what is measured would wait for that: it is done between the parts.
const memory = 2 << 30

// options are what the flags say.
type options struct {
	mergeRequests int
	clicks        int
	rate          int
	past          int
	dir           string
	parts         string
}

// part is something to measure, by the name that -parts takes.
type part struct {
	name    string
	measure func(context.Context, options, *sheet) error
}

// parts are all of them, in their order.
func (w *world) parts() []part {
	return []part{
		{"idle", w.idle},
		{"sweep", w.sweeps},
		{"click", w.calmClicks},
		{"rate", w.fullRate},
		{"clients", w.throughput},
		{"calls", w.oneMergeRequest},
		{"notify", w.notify},
		{"night", w.nightDown},
		{"past", w.past},
	}
}

// chosen gives those that names tells, separated by commas; "": all.
func chosen(all []part, names string) ([]part, error) {
	if names == "" {
		return all, nil
	}
	var some []part
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(all, func(p part) bool { return p.name == name })
		if i < 0 {
			return nil, fmt.Errorf("-parts %s: there is no %q; there are %s", names, name, nameAll(all))
		}
		some = append(some, all[i])
	}
	return some, nil
}

func nameAll(all []part) string {
	names := make([]string, len(all))
	for i, p := range all {
		names[i] = p.name
	}
	return strings.Join(names, ", ")
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == bareCommand {
		exit(serveBare(os.Args[2]))
	}
	if len(os.Args) == 2 && os.Args[1] == senderCommand {
		exit(serveSending())
	}
	if len(os.Args) == 2 && os.Args[1] == postCommand {
		exit(postTwice())
	}
	var o options
	flag.IntVar(&o.mergeRequests, "merge-requests", 10_000, "open merge requests")
	flag.IntVar(&o.clicks, "clicks", 2_000, "clicks at full rate, each on another merge request")
	flag.IntVar(&o.rate, "rate", 200, "clicks a second")
	flag.IntVar(&o.past, "past", 1_000_000, "past requests in the database")
	flag.StringVar(&o.dir, "dir", "", "directory for the database, on the disk that is meant; default: the system's for temporary files")
	flag.StringVar(&o.parts, "parts", "", "what to measure, separated by commas: "+nameAll((*world)(nil).parts())+"; default: all of it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	exit(run(ctx, o))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// sheet is what was measured so far.
type sheet struct{ rows []row }

// row is a figure with its budget; "": none.
type row struct{ what, got, budget, beside string }

func (s *sheet) add(what, got, budget, beside string) {
	s.rows = append(s.rows, row{what, got, budget, beside})
	fmt.Fprintf(os.Stderr, "bench: %s: %s\n", what, got)
}

// held marks a figure that keeps its budget, or does not.
func held(ok bool, budget string) string {
	if ok {
		return budget + ", kept"
	}
	return budget + ", MISSED"
}

func (s *sheet) print() error {
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "WHAT\tMEASURED\tBUDGET\tBESIDE IT")
	for _, r := range s.rows {
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", r.what, r.got, r.budget, r.beside)
	}
	return t.Flush()
}

func run(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp(o.dir, "mrgate-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	w, err := newWorld(ctx, dir)
	if err != nil {
		return err
	}
	defer w.close()
	parts, err := chosen(w.parts(), o.parts)
	if err != nil {
		return err
	}
	var s sheet
	busy, err := load()
	if err != nil {
		return err
	}
	s.add("machine", fmt.Sprintf("%d cores, %s of other load", runtime.NumCPU(), busy), "2 cores, nothing else", "")
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(memory)
	for _, p := range append([]part{{"fill", w.fill}}, parts...) {
		runtime.GC()
		if err := p.measure(ctx, o, &s); err != nil {
			return fmt.Errorf("%s: %w\n%s", p.name, err, w.log())
		}
	}
	return s.print()
}

// load is how many processes wanted a core in the last minute, on average.
func load() (string, error) {
	data, err := os.ReadFile("/proc/loadavg")
	busy, _, _ := strings.Cut(string(data), " ")
	return busy, err
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }
