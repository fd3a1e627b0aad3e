package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
)

// unreachable puts into words why a call to an address got no answer, and what to do
// about it. caFile is the setting that adds a company's authorities for it; "": none.
func unreachable(err error, address, setting, caFile string) (what, remedy string) {
	u, e := url.Parse(address)
	if e != nil {
		return err.Error(), "check " + setting
	}
	through, around := "", ""
	if proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u}); err == nil && proxy != nil {
		through = " through the proxy " + proxy.Host
		around = fmt.Sprintf(", or name %s in NO_PROXY, if it is to be reached without the proxy", u.Hostname())
	}
	trust := "have the authority added to this machine's"
	if caFile != "" {
		trust = "name the PEM file with your company's authority by --" + caFile
	}
	var (
		unknown  x509.UnknownAuthorityError
		hostname x509.HostnameError
		invalid  x509.CertificateInvalidError
		noTLS    tls.RecordHeaderError
		dns      *net.DNSError
		op       *net.OpError
	)
	proxied := errors.As(err, &op) && op.Op == "proxyconnect"
	switch {
	case errors.As(err, &unknown):
		return u.Host + " has a certificate of an authority that this machine does not trust (x509)", trust
	case errors.As(err, &hostname):
		return fmt.Sprintf("the certificate that %s shows is not for that name (%s)", u.Host, hostname.Error()),
			fmt.Sprintf("check %s; else its certificate has to be issued anew", setting)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Sprintf("the certificate of %s has expired, or is not valid yet (%s)", u.Host, invalid.Error()),
			"have it renewed, or set this machine's clock"
	case errors.As(err, &invalid):
		return fmt.Sprintf("the certificate of %s cannot be used (%s)", u.Host, invalid.Error()), "have it issued anew"
	case errors.As(err, &noTLS), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return u.Host + " does not speak TLS", fmt.Sprintf("check the port in %s, and that the proxy, if there is one, lets TLS through", setting)
	case proxied:
		return fmt.Sprintf("the proxy %s does not answer (%s)", strings.TrimPrefix(through, " through the proxy "), op.Err),
			"check HTTPS_PROXY" + around
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Sprintf("nobody knows the name %s", dns.Name), fmt.Sprintf("check %s and this machine's DNS; behind a proxy, set HTTPS_PROXY", setting)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("nobody listens at %s", u.Host), fmt.Sprintf("check %s, and that the firewall lets this machine out; behind a proxy, set HTTPS_PROXY", setting)
	case errors.Is(err, context.DeadlineExceeded), op != nil && op.Timeout(), timedOut(err):
		return fmt.Sprintf("%s does not answer in time%s", u.Host, through), fmt.Sprintf("check %s, and that the firewall lets this machine out; behind a proxy, set HTTPS_PROXY", setting)
	case through != "":
		return fmt.Sprintf("no answer of %s%s: %s", u.Host, through, plainError(err)), "ask who runs the proxy to let this machine through" + around
	}
	return fmt.Sprintf("no answer of %s: %s", u.Host, plainError(err)), fmt.Sprintf("check %s", setting)
}

func timedOut(err error) bool {
	var slow interface{ Timeout() bool }
	return errors.As(err, &slow) && slow.Timeout()
}

// plainError is the error without the address that net/http puts before it.
func plainError(err error) string {
	if of, ok := errors.AsType[*url.Error](err); ok {
		return of.Err.Error()
	}
	return err.Error()
}
