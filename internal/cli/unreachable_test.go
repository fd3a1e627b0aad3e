package cli

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestUnreachable(t *testing.T) {
	const address = "https://gitlab.example.com/git"
	wrapped := func(err error) error {
		return fmt.Errorf("read: %w", &url.Error{Op: "Get", URL: address + "/api/v4/version", Err: err})
	}
	for name, c := range map[string]struct {
		err          error
		what, remedy string
	}{
		"authority": {x509.UnknownAuthorityError{}, "gitlab.example.com has a certificate of an authority", "by --gitlab-ca-file"},
		"name":      {x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{"other.example.com"}}, Host: "gitlab.example.com"}, "not for that name", "check gitlab-url"},
		"expired":   {x509.CertificateInvalidError{Cert: &x509.Certificate{}, Reason: x509.Expired}, "has expired", "renewed"},
		"unusable":  {x509.CertificateInvalidError{Cert: &x509.Certificate{}, Reason: x509.NotAuthorizedToSign}, "cannot be used", "issued anew"},
		"DNS":       {&net.OpError{Op: "dial", Err: &net.DNSError{Name: "gitlab.example.com", IsNotFound: true}}, "nobody knows the name gitlab.example.com", "DNS"},
		"refused":   {&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, "nobody listens", "check gitlab-url"},
		"proxy":     {&net.OpError{Op: "proxyconnect", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, "the proxy", "HTTPS_PROXY"},
		"time":      {context.DeadlineExceeded, "does not answer in time", "firewall"},
		"other":     {net.ErrClosed, "no answer of gitlab.example.com: use of closed network connection", "check gitlab-url"},
	} {
		t.Run(name, func(t *testing.T) {
			what, remedy := unreachable(wrapped(c.err), address, "gitlab-url", "gitlab-ca-file")
			if !strings.Contains(what, c.what) || !strings.Contains(remedy, c.remedy) {
				t.Errorf("%q, %q; want %q, %q", what, remedy, c.what, c.remedy)
			}
			if strings.Contains(what, "/api/v4") {
				t.Errorf("it repeats the call: %q", what)
			}
		})
	}
}

func TestRoomOnTheDisk(t *testing.T) {
	for free, want := range map[uint64]condition{
		0: conditionFailure, roomFailure - 1: conditionFailure, roomFailure: conditionWarning, roomWarning - 1: conditionWarning, roomWarning: conditionOK, 1 << 40: conditionOK,
	} {
		f := roomFor("/var/lib/mrgate", free)
		if f.Status != want || (f.Remedy == "") != (want == conditionOK) {
			t.Errorf("%d bytes: %+v, want %s", free, f, want)
		}
	}
}

func TestClocks(t *testing.T) {
	for ahead, want := range map[time.Duration]condition{
		0: conditionOK, -29 * time.Second: conditionOK, 31 * time.Second: conditionWarning, -4 * time.Minute: conditionWarning,
		5 * time.Minute: conditionFailure, -time.Hour: conditionFailure,
	} {
		var out strings.Builder
		d := testDoctor(&out)
		d.clock("gitlab.clock", "GitLab's", ahead)
		if f := d.report.Checks[0]; f.Status != want {
			t.Errorf("%s: %+v, want %s", ahead, f, want)
		}
	}
}
