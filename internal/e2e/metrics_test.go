package e2e

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"mrgate/internal/feishusim"
	"mrgate/internal/gitlabsim"
)

// scrape is what /metrics says: the page, and each line's value.
func (l *listener) scrape() (page string, values map[string]float64) {
	l.t.Helper()
	status, page := request(l.t, http.MethodGet, l.admin()+"/metrics")
	if status != http.StatusOK {
		l.t.Fatalf("/metrics: %d %s", status, page)
	}
	values = map[string]float64{}
	for line := range strings.Lines(page) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
		if name += "}"; value == "" {
			name, value, _ = strings.Cut(strings.TrimSpace(line), " ")
		}
		if strings.HasPrefix(line, "#") {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			l.t.Fatalf("a line without a value: %q", line)
		}
		values[name] = v
	}
	return page, values
}

func TestMetricsTellWhatHappened(t *testing.T) {
	t.Parallel()
	w := newWorld(t, ready())
	l := w.hooked(w.startIn(w.environ(), "--long-connection", "--sweep", "1s"))
	l.logs("connected to Feishu:")
	w.eventually("the policy is noted", func() bool { return w.run(nil, "list", "--db", w.db).code == 0 })
	around := w.open(func(mr *gitlabsim.MergeRequest) { mr.Source = "feature/hotfix" })
	w.card(w.alice)
	w.card(w.carol)
	w.gitlab.MergeByHand(project, around.IID, "erin")
	w.eventually("it is known to be merged", func() bool { return w.shows(w.alice, "Merged in GitLab") && w.shows(w.carol, "Merged in GitLab") })

	mr := w.open()
	for _, who := range []feishusim.User{w.alice, w.carol} {
		w.eventually(who.Name+" is asked again", func() bool { return len(w.cards(who)) == 2 })
	}
	w.gitlab.Inject(gitlabsim.Fault{Method: http.MethodPut, PathSuffix: "/merge", Status: http.StatusBadGateway, Times: 1})
	says(t, w.press(w.alice, "approve", "").Toast, "success", "Approved, merging")
	w.ended("Merged ·", "merged into main", w.alice, w.carol)
	w.eventually("there is a note", func() bool { return len(w.mr(mr.IID).Notes) == 1 })
	w.eventually("what was written is counted", func() bool {
		_, values := l.scrape()
		return values[`mrgate_effects_total{call="note",target="forge"}`] == 1 &&
			values[`mrgate_effects_total{call="send",target="chat"}`] == float64(len(w.feishu.Messages()))
	})

	page, values := l.scrape()
	for line, want := range map[string]float64{
		`mrgate_requests{state="merged"}`:                     1,
		`mrgate_requests{state="withdrawn"}`:                  1,
		`mrgate_requests{state="pending"}`:                    0,
		`mrgate_merges_around_gate_total`:                     1,
		`mrgate_click_answer_seconds_count`:                   1,
		`mrgate_click_answer_seconds_bucket{le="+Inf"}`:       1,
		`mrgate_click_merge_seconds_count`:                    1,
		`mrgate_effects_total{call="approve",target="forge"}`: 1,
		`mrgate_effects_total{call="merge",target="forge"}`:   1,
		`mrgate_effects_total{call="close",target="forge"}`:   0,
		`mrgate_failures_total{call="merge",target="forge"}`:  1,
		`mrgate_failures_total{call="read",target="forge"}`:   0,
		`mrgate_failures_total{call="send",target="chat"}`:    0,
		`mrgate_long_connection_up`:                           1,
	} {
		if got, ok := values[line]; !ok || got != want {
			t.Errorf("%s is %v (%t), should be %v", line, got, ok, want)
		}
	}
	if v := values["mrgate_click_merge_seconds_sum"]; v <= 0 || v > patience.Seconds() {
		t.Errorf("the merge took %v s", v)
	}
	if v := values[`mrgate_effects_total{call="update",target="chat"}`]; v == 0 {
		t.Error("no update is counted")
	}
	w.eventually("a sweep has gone through", func() bool {
		_, values := l.scrape()
		age, ok := values["mrgate_sweep_age_seconds"]
		return ok && age < 1
	})
	if !regexp.MustCompile(`(?m)^mrgate_build_info\{go_version="go1\.[^"]+",version="[^"]+"\} 1$`).MatchString(page) {
		t.Errorf("what was built is not told:\n%s", page)
	}

	problems, err := promlint.New(strings.NewReader(page)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("promlint: %s: %s", p.Metric, p.Text)
	}
	described(t, page)

	w.feishu.Inject(feishusim.Fault{PathSuffix: "/callback/ws/endpoint", Status: http.StatusServiceUnavailable})
	w.feishu.CutLinks(1001)
	w.eventually("the connection is told to be down", func() bool {
		_, values := l.scrape()
		up, ok := values["mrgate_long_connection_up"]
		return ok && up == 0
	})
}

// described demands that docs/metrics.md lists what there is, with its type and
// labels, and nothing else.
func described(t *testing.T, page string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, row := range regexp.MustCompile("(?m)^\\| `(mrgate_\\w+)` \\| (\\w+) \\| ([^|]*)\\|").FindAllStringSubmatch(string(text), -1) {
		labels := strings.Fields(strings.NewReplacer("`", "", ",", " ").Replace(row[3]))
		slices.Sort(labels)
		told = append(told, row[1]+" "+row[2]+" "+strings.Join(labels, " "))
	}
	var there []string
	for _, kind := range regexp.MustCompile(`(?m)^# TYPE (\w+) (\w+)$`).FindAllStringSubmatch(page, -1) {
		var labels []string
		if m := regexp.MustCompile(`(?m)^` + kind[1] + `\{(.*)\}`).FindStringSubmatch(page); m != nil {
			for _, l := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(m[1], -1) {
				labels = append(labels, l[1])
			}
		}
		slices.Sort(labels)
		there = append(there, kind[1]+" "+kind[2]+" "+strings.Join(labels, " "))
	}
	slices.Sort(told)
	slices.Sort(there)
	if !slices.Equal(told, there) {
		t.Errorf("docs/metrics.md tells of\n%s\nand there is\n%s", strings.Join(told, "\n"), strings.Join(there, "\n"))
	}
}

func TestMetricsAreForOperatorsAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// asked is the answer to who shows the token under the name host.
	asked := func(url, host, token string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url+"/metrics", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if host != "" {
			req.Host = host
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if told := strings.Contains(string(body), "mrgate_"); told != (resp.StatusCode == http.StatusOK) {
			t.Errorf("%d, and metrics: %t", resp.StatusCode, told)
		}
		return resp.StatusCode
	}
	l := w.start()
	if status := asked(l.url, "", ""); status != http.StatusNotFound {
		t.Errorf("on the public address: %d, want 404", status)
	}
	if status := asked(l.admin(), "", ""); status != http.StatusOK {
		t.Errorf("on this machine: %d", status)
	}
	if status := asked(l.admin(), "evil.example.com", ""); status != http.StatusMisdirectedRequest {
		t.Errorf("under another name: %d, want 421", status)
	}
	for _, name := range []string{"mrgate_sweep_age_seconds", "mrgate_long_connection_up"} {
		if page, _ := l.scrape(); strings.Contains(page, name) {
			t.Errorf("without either there is %s", name)
		}
	}
	l.stop()

	const operator, caller = "operator-e2e-Mk82XcPw1", "api-e2e-Yt54NbVq2Ws"
	l = w.startIn(append(w.environ(), "MRGATE_OPERATOR_TOKEN="+operator, "MRGATE_API_TOKEN="+caller), "--admin-listen", "0.0.0.0:0")
	_, port, err := net.SplitHostPort(strings.TrimPrefix(l.admin(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	beyond := "http://127.0.0.1:" + port
	for token, want := range map[string]int{"": 401, "wrong": 401, caller: 401, operator: 200} {
		if status := asked(beyond, "", token); status != want {
			t.Errorf("beyond this machine with %q: %d, want %d", token, status, want)
		}
	}
}
