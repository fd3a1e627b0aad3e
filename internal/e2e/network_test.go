package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mrgate/internal/gitlabsim"
)

// authority is a company's own, which no machine trusts by itself.
type authority struct {
	t    testing.TB
	file string // its certificate, as PEM
	cert tls.Certificate
}

// notLoopback is this machine (see [net.Dial]), without a name to look up, and
// net/http takes it to a proxy: never 127.0.0.1 and localhost
// (golang.org/x/net/http/httpproxy).
const notLoopback = "0.0.0.0"

func newAuthority(t testing.TB) *authority {
	t.Helper()
	sign := func(c, by *x509.Certificate, key, with *ecdsa.PrivateKey) []byte {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, c, by, &key.PublicKey, with)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	key := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Acme's own CA"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	rootKey, leafKey := key(), key()
	rootDER := sign(root, root, rootKey, rootKey)
	leaf := sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"gitlab.test", "feishu.test", "mrgate.test"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4zero},
	}, root, leafKey, rootKey)
	a := &authority{t: t, file: filepath.Join(t.TempDir(), "ca.pem"), cert: tls.Certificate{Certificate: [][]byte{leaf}, PrivateKey: leafKey}}
	if err := os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER}), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// serve serves over TLS, and gives the address as 127.0.0.1:port.
func (a *authority) serve(h http.Handler) string {
	a.t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = quiet()
	s.TLS = &tls.Config{Certificates: []tls.Certificate{a.cert}, MinVersion: tls.VersionTLS12}
	s.StartTLS()
	a.t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// moved says where GitLab is from now on.
func (w *world) moved(gitlabURL string) {
	w.gitlabURL = gitlabURL
	w.gitlab.SetURL(gitlabURL)
}

// waitingJob starts a job that has nothing but its ID token, waits for people, and
// knows the listener by this address, which is also the token's audience.
func (w *world) waitingJob(mr gitlabsim.MergeRequest, public string, env ...string) *job {
	w.t.Helper()
	env = append(append(w.pipeline(mr, "detached"), "CI_SERVER_URL="+w.gitlabURL,
		"MRGATE_ID_TOKEN="+w.gitlab.IDToken(w.gitlabURL, public, project, nil)), env...)
	return w.startJob(env, "notify", "--server", public+"/", "--wait", "2m")
}

// reverse leads to the listener, once there is one.
func (w *world) reverse() (http.Handler, func(*listener)) {
	f := &front{}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(f.to.Load()) }, ErrorLog: quiet()}
	return proxy, f.show
}

func TestWholeLoopWithAPrivateAuthority(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := newAuthority(t)
	w.moved("https://" + a.serve(w.gitlab))

	front, show := w.reverse()
	public := "https://" + a.serve(front)
	l := w.startIn(append(w.withAPI(), "MRGATE_PUBLIC_URL="+public), "--gitlab-ca-file", a.file)
	show(l)
	mr := w.open()
	// CI_SERVER_TLS_CA_FILE is where a runner puts the authority that it was given.
	j := w.waitingJob(mr, public, "CI_SERVER_TLS_CA_FILE="+a.file)
	w.click(l, w.alice, "approve", "")
	j.ends(0)
	w.ended("Merged ·", "merged into main", w.alice, w.carol)
	w.once(mr.IID, "POST 1/approve 201", "PUT 1/merge 200")
	l.stop()

	// Whoever forgets the file is told of it.
	w.gitlab.ResetCalls()
	unknown := `x509: certificate signed by unknown authority.*gitlab_ca_file`
	bare := w.startIn(w.withAPI())
	w.webhook(bare, w.open().IID, "open")
	bare.logs(unknown)
	if calls := w.gitlab.Calls(); len(calls) > 0 {
		t.Errorf("GitLab was called without its certificate being trusted: %v", w.forgeCalls())
	}
	bare.stop()
	j = w.waitingJob(mr, public)
	j.ends(1) // at once: no waiting makes it trusted
	if !regexp.MustCompile(unknown).MatchString(j.errs.String()) {
		t.Errorf("the job does not say why it gets no answer: %s", j.errs)
	}
}

func TestFileWithoutCertificatesIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for file, says := range map[string]string{w.config: "holds no PEM certificate", filepath.Join(w.dir, "none.pem"): "no such file"} {
		ran := w.run(nil, "serve-callback", "--config", w.config, "--db", w.db, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--gitlab-ca-file", file)
		if ran.code != 2 || !strings.Contains(ran.stderr, "gitlab_ca_file") || !strings.Contains(ran.stderr, file) || !strings.Contains(ran.stderr, says) {
			t.Errorf("exit %d: %s", ran.code, ran.stderr)
		}
	}
}

// What a proxy wants to be told.
const proxyUser, proxyPassword = "mrgate", "pxy-e2e-Vb74kLsQ"

// connectProxy is a company's proxy: it takes CONNECT alone, from who has the
// password, and is the only one who knows where the names lead.
type connectProxy struct {
	url string

	mu    sync.Mutex
	leads map[string]string // host:port to an address on this machine
	asked []string          // host:port
}

func newConnectProxy(t testing.TB) *connectProxy {
	t.Helper()
	p := &connectProxy{leads: map[string]string{}}
	s := httptest.NewServer(p)
	t.Cleanup(s.Close)
	p.url = strings.Replace(s.URL, "http://", "http://"+proxyUser+":"+proxyPassword+"@", 1)
	return p
}

func (p *connectProxy) lead(host, to string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leads[host] = to
}

// count counts the tunnels to a host.
func (p *connectProxy) count(host string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(slices.DeleteFunc(slices.Clone(p.asked), func(h string) bool { return h != host }))
}

// ServeHTTP makes a tunnel.
func (p *connectProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	to := p.leads[r.Host]
	p.asked = append(p.asked, r.Host)
	p.mu.Unlock()
	password := "Basic " + base64.StdEncoding.EncodeToString([]byte(proxyUser+":"+proxyPassword))
	switch {
	case r.Method != http.MethodConnect:
		http.Error(w, "only CONNECT", http.StatusMethodNotAllowed)
		return
	case r.Header.Get("Proxy-Authorization") != password:
		http.Error(w, "who are you?", http.StatusProxyAuthRequired)
		return
	case to == "":
		http.Error(w, "no such host", http.StatusBadGateway)
		return
	}
	far, err := net.Dial("tcp", to)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	near, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = far.Close()
		return
	}
	_, _ = io.WriteString(near, "HTTP/1.1 200 Connection established\r\n\r\n")
	go pipe(near, far)
	go pipe(far, near)
}

// pipe copies until one side ends, and ends the other.
func pipe(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_ = to.Close()
	_ = from.Close()
}

func TestWholeLoopThroughAProxy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := newAuthority(t)
	p := newConnectProxy(t)
	front, show := w.reverse()
	// These names lead nowhere but through the proxy.
	w.moved("https://gitlab.test")
	w.feishuURL = "https://feishu.test"
	const public = "https://mrgate.test"
	p.lead("gitlab.test:443", a.serve(w.gitlab))
	p.lead("feishu.test:443", a.serve(w.feishu))
	p.lead("mrgate.test:443", a.serve(front))
	network := []string{"HTTPS_PROXY=" + p.url, "SSL_CERT_FILE=" + a.file}

	l := w.startIn(append(append(w.withAPI(), "MRGATE_PUBLIC_URL="+public, "MRGATE_FEISHU_VERIFICATION_TOKEN="), network...), "--long-connection")
	l.logs(`msg="connected to Feishu: clicks arrive`)
	if n := p.count("feishu.test:443"); n < 2 { // one to ask for the address, and the WebSocket itself
		t.Errorf("%d tunnels to Feishu, so the WebSocket does not go through the proxy", n)
	}
	show(l)
	mr := w.open()
	j := w.waitingJob(mr, public, network...)
	w.card(w.carol)
	w.card(w.alice)
	w.press(w.alice, "approve", "")
	j.ends(0)
	w.ended("Merged ·", "merged into main", w.alice, w.carol)
	w.once(mr.IID, "POST 1/approve 201", "PUT 1/merge 200")
	for _, host := range []string{"gitlab.test:443", "mrgate.test:443"} {
		if p.count(host) == 0 {
			t.Errorf("no tunnel to %s", host)
		}
	}
	l.stop()
	if strings.Contains(l.log.String()+j.errs.String(), proxyPassword) {
		t.Errorf("the proxy's password was printed:\n%s\n%s", l.log, j.errs)
	}

	before := p.count("feishu.test:443")
	r := w.run(append(w.pipeline(w.open(), "detached"), network...), "notify", "--config", w.config, "--approver", "dave@example.com")
	if r.code != 0 || len(w.cards(w.dave)) != 1 || p.count("feishu.test:443") == before {
		t.Errorf("a card straight from a job: %+v, %d tunnels", r, p.count("feishu.test:443")-before)
	}
}

func TestNoProxyIsObeyed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := newAuthority(t)
	p := newConnectProxy(t)
	host := func(address string) string { // by what would go through the proxy
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		p.lead(notLoopback+":"+port, address)
		return notLoopback + ":" + port
	}
	gitlab := host(a.serve(w.gitlab))
	w.moved("https://" + gitlab)
	w.feishuURL = "https://feishu.test"
	p.lead("feishu.test:443", a.serve(w.feishu))
	front, show := w.reverse()
	mrgate := host(a.serve(front))
	network := []string{"HTTPS_PROXY=" + p.url, "SSL_CERT_FILE=" + a.file}
	direct := append(slices.Clone(network), "NO_PROXY="+notLoopback)

	l := w.startIn(append(append(w.withAPI(), "MRGATE_PUBLIC_URL=https://"+mrgate), direct...))
	show(l)
	mr := w.open()
	j := w.waitingJob(mr, "https://"+mrgate, direct...)
	w.card(w.alice)
	if p.count(gitlab) != 0 || p.count(mrgate) != 0 || p.count("feishu.test:443") == 0 {
		t.Errorf("tunnels: %d to GitLab, %d to mrgate, %d to Feishu", p.count(gitlab), p.count(mrgate), p.count("feishu.test:443"))
	}
	// The same without NO_PROXY goes through the proxy, so it was for that.
	proxied := w.waitingJob(mr, "https://"+mrgate, network...)
	w.eventually("the other job goes through the proxy", func() bool { return p.count(mrgate) > 0 })
	w.click(l, w.alice, "approve", "")
	j.ends(0)
	proxied.ends(0)
	w.ended("Merged ·", "merged into main", w.alice, w.carol)
	l.stop()
}

func TestWholeLoopUnderASubPath(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// GitLab answers below /gitlab and nowhere else (its relative URL), and so does
	// mrgate below /mrgate, through a proxy that takes the path away.
	w.moved(serve(t, http.StripPrefix("/gitlab", w.gitlab)) + "/gitlab")
	front, show := w.reverse()
	public := serve(t, http.StripPrefix("/mrgate", front)) + "/mrgate"
	l := w.startIn(append(w.withAPI(), "MRGATE_PUBLIC_URL="+public+"/"))
	show(l)
	outside := *l
	outside.url = public // where GitLab and Feishu call, too

	mr := w.open()
	w.webhook(&outside, mr.IID, "open")
	w.card(w.carol)
	if card := w.card(w.alice).Card; !strings.Contains(card, w.gitlabURL+"/"+projectPath+"/-/merge_requests/1") {
		t.Errorf("the card does not lead to GitLab's page: %s", card)
	}
	j := w.waitingJob(mr, public)
	byURL := "/api/v1/requests/" + url.PathEscape(w.gitlabURL+"/"+projectPath+"/-/merge_requests/1")
	resp, err := http.DefaultClient.Do(bearer(t, public+byURL, apiToken))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("GET of a request by its URL through the proxy: %d", resp.StatusCode)
	}
	w.click(&outside, w.alice, "approve", "")
	j.ends(0)
	w.ended("Merged ·", "merged into main", w.alice, w.carol)
	w.once(mr.IID, "POST 1/approve 201", "PUT 1/merge 200")
	if text := w.mr(mr.IID).Notes[0].Body; strings.Contains(text, "/gitlab/gitlab") {
		t.Errorf("the note: %s", text)
	}

	// An operator names a merge request by its address, too.
	other := w.open()
	ran := w.run([]string{"MRGATE_OPERATOR_TOKEN=" + operatorToken}, "decide", "--approve", "--server", l.admin(), w.gitlabURL+"/"+projectPath+"/-/merge_requests/2")
	if ran.code != 0 || w.mr(other.IID).State != "merged" {
		t.Errorf("decide: %+v", ran)
	}
	l.stop()
}

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

func bearer(t testing.TB, address, token string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	return req
}
