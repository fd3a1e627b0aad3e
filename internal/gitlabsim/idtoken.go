package gitlabsim

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"math/big"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// keys are the RSA keys that sign ID tokens: the first is published, the second
// is somebody else's. Making them takes long enough to do it only when asked.
type keys struct {
	once  sync.Once
	known *rsa.PrivateKey
	other *rsa.PrivateKey
}

func (k *keys) make() {
	k.once.Do(func() {
		var err error
		if k.known, err = rsa.GenerateKey(rand.Reader, 2048); err == nil {
			k.other, err = rsa.GenerateKey(rand.Reader, 2048)
		}
		if err != nil {
			panic(err) // crypto/rand does not fail
		}
	})
}

// keyID names the published key.
const keyID = "simulated-1"

// IDToken gives a job's ID token with GitLab's claims for a project, as its
// issuer the address under which this server is called; more overrides claims,
// nil takes one out (docs.gitlab.com/ci/secrets/id_token_authentication; all
// values but the times are strings).
func (s *Server) IDToken(issuer, audience string, project int64, more map[string]any) string {
	s.mu.Lock()
	path, now := "", s.now()
	for _, p := range s.projects {
		if p.ID == project {
			path = p.Path
		}
	}
	s.mu.Unlock()
	claims := map[string]any{
		"iss": issuer, "aud": audience, "sub": "project_path:" + path + ":ref_type:branch:ref:feature",
		"iat": now.Unix(), "nbf": now.Add(-5 * time.Second).Unix(), "exp": now.Add(time.Hour).Unix(),
		"jti": rand.Text(), "project_id": strconv.FormatInt(project, 10), "project_path": path,
		"pipeline_source": "merge_request_event", "ref_type": "branch", "ref_protected": "false",
	}
	maps.Copy(claims, more)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return s.SignIDToken("RS256", keyID, claims)
}

// SignIDToken signs any claims. alg is RS256; none, without a signature; HS256,
// with the published key's PEM as the secret, an old attack; or RS256-other, with
// a key that this server does not publish.
func (s *Server) SignIDToken(alg, kid string, claims map[string]any) string {
	s.keys.make()
	name := alg
	if alg == "RS256-other" {
		name = "RS256"
	}
	head, err := json.Marshal(map[string]any{"alg": name, "kid": kid, "typ": "JWT"})
	if err != nil {
		panic(err) // strings marshal
	}
	body, err := json.Marshal(claims)
	if err != nil {
		panic(err) // a test gives only what marshals
	}
	b64 := base64.RawURLEncoding
	text := b64.EncodeToString(head) + "." + b64.EncodeToString(body)
	digest := sha256.Sum256([]byte(text))
	var signature []byte
	switch alg {
	case "none":
	case "HS256":
		der, err := x509.MarshalPKIXPublicKey(&s.keys.known.PublicKey)
		if err != nil {
			panic(err) // it is an RSA key
		}
		mac := hmac.New(sha256.New, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
		_, _ = mac.Write([]byte(text))
		signature = mac.Sum(nil)
	default:
		key := s.keys.known
		if alg == "RS256-other" {
			key = s.keys.other
		}
		if signature, err = rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:]); err != nil {
			panic(err) // the digest has the right length
		}
	}
	return text + "." + b64.EncodeToString(signature)
}

// issuer is the instance's own address, as GitLab has it in its settings; of one
// that was never told, what it is called. Call it with the lock held.
func (s *Server) issuer(r *http.Request) string {
	if s.told {
		return s.url
	}
	return "http://" + r.Host
}

// openID answers the addresses at which the keys are found, which need no token
// (docs.gitlab.com/integration/openid_connect_provider/); false: it is none.
func (s *Server) openID(r *http.Request) (answer, bool) {
	issuer := s.issuer(r)
	switch {
	case r.Method != http.MethodGet:
	case r.URL.Path == "/.well-known/openid-configuration":
		return jsonAnswer(http.StatusOK, object{
			"issuer": issuer, "jwks_uri": issuer + "/oauth/discovery/keys",
			"authorization_endpoint": issuer + "/oauth/authorize", "token_endpoint": issuer + "/oauth/token",
			"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
			"id_token_signing_alg_values_supported": []string{"RS256"},
		}), true
	case r.URL.Path == "/oauth/discovery/keys":
		s.keys.make()
		b64 := base64.RawURLEncoding
		pub := s.keys.known.PublicKey
		return jsonAnswer(http.StatusOK, object{"keys": []object{{
			"kty": "RSA", "kid": keyID, "use": "sig", "alg": "RS256",
			"n": b64.EncodeToString(pub.N.Bytes()), "e": b64.EncodeToString(big.NewInt(int64(pub.E)).Bytes()),
		}}}), true
	}
	return answer{}, false
}
