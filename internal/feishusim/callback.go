package feishusim

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // old-style callbacks are signed with it
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Style is the kind of callback that the app has subscribed to.
type Style int

// The styles. Of both at once, Feishu sends one request each.
const (
	NewStyle Style = iota // card.action.trigger
	OldStyle              // card.action.trigger_v1: flat body, signed with the verification token, never encrypted
)

// encrypted wraps a body as the app's encrypt key demands: AES-256-CBC under
// SHA-256 of the key, PKCS #7 padding, the IV in front, base64. Source:
// "将回调发送至开发者服务器".
func encrypted(key string, body []byte) []byte {
	sum := sha256.Sum256([]byte(key))
	block, err := aes.NewCipher(sum[:])
	if err != nil {
		panic(err) // 32 bytes are always a key
	}
	padding := aes.BlockSize - len(body)%aes.BlockSize
	plain := append(bytes.Clone(body), bytes.Repeat([]byte{byte(padding)}, padding)...)
	sealed := make([]byte, aes.BlockSize+len(plain))
	_, _ = rand.Read(sealed[:aes.BlockSize])
	cipher.NewCBCEncrypter(block, sealed[:aes.BlockSize]).CryptBlocks(sealed[aes.BlockSize:], plain) //nolint:gosec // the IV is random
	return mustJSON(map[string]any{"encrypt": base64.StdEncoding.EncodeToString(sealed)})
}

// sign sets the headers by which a callback proves where it comes from. With an
// encrypt key, new-style ones are signed with SHA-256 over the body as posted
// ("接收并处理回调"); old-style ones with SHA-1 and the verification token
// ("消息卡片安全校验").
func sign(header http.Header, style Style, secret string, at time.Time, body []byte) {
	timestamp, nonce := strconv.FormatInt(at.Unix(), 10), randomHex(8)
	signed := append([]byte(timestamp+nonce+secret), body...)
	var signature []byte
	if style == OldStyle {
		sum := sha1.Sum(signed) //nolint:gosec // as Feishu does
		signature = sum[:]
	} else {
		sum := sha256.Sum256(signed)
		signature = sum[:]
	}
	header.Set("X-Lark-Request-Timestamp", timestamp)
	header.Set("X-Lark-Request-Nonce", nonce)
	header.Set("X-Lark-Signature", hex.EncodeToString(signature))
}

// posted is what came back from the program under test.
type posted struct {
	status int
	body   []byte
	took   time.Duration
}

// callBack posts a body and waits for the whole answer, but no longer than
// limit. Redirects are not followed. Its error is a *ClientError with the code
// for what kept the answer away, or the context's own error.
func callBack(ctx context.Context, url string, header http.Header, body []byte, limit time.Duration) (posted, error) {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	req, err := http.NewRequestWithContext(limited, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return posted{}, &ClientError{Code: 200340, Why: err.Error()}
	}
	req.Header = header
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	began := time.Now()
	resp, err := client.Do(req)
	var p posted
	if err == nil {
		defer func() { _ = resp.Body.Close() }()
		p.status = resp.StatusCode
		p.body, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	}
	p.took = time.Since(began)
	if err == nil {
		return p, nil
	}
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case ctx.Err() != nil:
		return p, ctx.Err()
	case limited.Err() != nil:
		return p, &ClientError{Code: 200341, Why: "no answer within " + limit.String()}
	case errors.As(err, &dns):
		return p, &ClientError{Code: 200343, Why: err.Error()}
	case errors.As(err, &op) && op.Op == "dial":
		return p, &ClientError{Code: 200342, Why: err.Error()}
	default:
		return p, &ClientError{Code: 200080, Why: err.Error()}
	}
}

// ChallengeOptions play with the check of a callback address.
type ChallengeOptions struct {
	Token     string // default: the app's verification token
	Plain     bool   // not encrypted although the app has a key
	Key       string // to encrypt with, if not the app's
	Mutate    func(body map[string]any)
	MutateRaw func([]byte) []byte // the JSON, before it is encrypted
	Header    func(http.Header)
}

// Challenge is what happens when somebody saves a callback address in the
// developer console: it posts a url_verification, encrypted if the app has a
// key, never signed, and wants the challenge back within
// Options.ChallengeLimit.
func (s *Server) Challenge(ctx context.Context, callbackURL string, c ChallengeOptions) error {
	challenge := randomHex(18)
	if c.Token == "" {
		c.Token = s.opts.VerificationToken
	}
	content := map[string]any{"challenge": challenge, "token": c.Token, "type": "url_verification"}
	if c.Mutate != nil {
		c.Mutate(content)
	}
	body := mustJSON(content)
	if c.MutateRaw != nil {
		body = c.MutateRaw(body)
	}
	if c.Key == "" {
		c.Key = s.opts.EncryptKey
	}
	if c.Key != "" && !c.Plain {
		body = encrypted(c.Key, body)
	}
	header := http.Header{"Content-Type": {"application/json; charset=utf-8"}}
	if c.Header != nil {
		c.Header(header)
	}
	p, err := callBack(ctx, callbackURL, header, body, s.opts.ChallengeLimit)
	if err != nil {
		return fmt.Errorf("challenge %s: %w", callbackURL, err)
	}
	var back struct {
		Challenge string `json:"challenge"`
	}
	switch err := json.Unmarshal(p.body, &back); {
	case p.status != http.StatusOK:
		return fmt.Errorf("challenge %s: HTTP %d: %.200s", callbackURL, p.status, p.body)
	case err != nil:
		return fmt.Errorf("challenge %s: the answer is no JSON: %w", callbackURL, err)
	case back.Challenge != challenge:
		return fmt.Errorf("challenge %s: got %q back, want %q", callbackURL, back.Challenge, challenge)
	}
	return nil
}
