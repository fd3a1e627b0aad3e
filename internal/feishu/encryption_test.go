package feishu

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base64"
	"testing"
)

// knownSealed is "hello world" under "test key":
// https://open.feishu.cn/document/event-subscription-guide/callback-subscription/receive-and-handle-callbacks
const knownSealed = "P37w+VZImNgPEO1RBhJ6RtKl7n6zymIbEG1pReEzghk="

func TestDecryptKnownAnswer(t *testing.T) {
	if plain, ok := decrypt("test key", knownSealed); !ok || string(plain) != "hello world" {
		t.Errorf("got %q, %v", plain, ok)
	}
}

// seal encrypts what is already padded.
func seal(key string, iv, padded []byte) string {
	sum := sha256.Sum256([]byte(key))
	block, err := aes.NewCipher(sum[:])
	if err != nil {
		panic(err) // 32 bytes are always a key
	}
	out := append(bytes.Clone(iv), padded...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(out[aes.BlockSize:], padded)
	return base64.StdEncoding.EncodeToString(out)
}

func TestDecryptIsStrict(t *testing.T) {
	iv := []byte("0123456789abcdef")
	for name, sealed := range map[string]string{
		"nothing":        "",
		"not base64":     "***",
		"of URLs":        "P37w-VZImNgPEO1RBhJ6RtKl7n6zymIbEG1pReEzghk=",
		"without its =":  "P37w+VZImNgPEO1RBhJ6RtKl7n6zymIbEG1pReEzghk",
		"stray bits":     "P37w+VZImNgPEO1RBhJ6RtKl7n6zymIbEG1pReEzghl=",
		"a line break":   "P37w+VZImNgPEO1R\nBhJ6RtKl7n6zymIbEG1pReEzghk=",
		"an IV alone":    base64.StdEncoding.EncodeToString(iv),
		"half a block":   base64.StdEncoding.EncodeToString(append(iv, "12345678"...)),
		"padded by 0":    seal("test key", iv, append([]byte("hello world5678"), 0)),
		"padded by 17":   seal("test key", iv, bytes.Repeat([]byte{17}, 32)),
		"padded by 255":  seal("test key", iv, bytes.Repeat([]byte{255}, 32)),
		"padded half":    seal("test key", iv, append([]byte("hello world"), 1, 5, 5, 5, 5)),
		"of another key": seal("test kex", iv, append([]byte("hello world"), 5, 5, 5, 5, 5)),
	} {
		if plain, ok := decrypt("test key", sealed); ok || plain != nil {
			t.Errorf("%s: got %q", name, plain)
		}
	}
	for n := range 50 {
		want := bytes.Repeat([]byte{'x'}, n)
		padding := aes.BlockSize - n%aes.BlockSize
		got, ok := decrypt("test key", seal("test key", iv, append(want, bytes.Repeat([]byte{byte(padding)}, padding)...)))
		if !ok || !bytes.Equal(got, want[:n]) {
			t.Errorf("%d bytes: got %q, %v", n, got, ok)
		}
	}
}

// FuzzDecrypt: what can be decrypted is the one way to write it.
func FuzzDecrypt(f *testing.F) {
	f.Add("test key", knownSealed)
	f.Add("", "")
	f.Add("k", seal("k", make([]byte, aes.BlockSize), bytes.Repeat([]byte{16}, 16)))
	f.Fuzz(func(t *testing.T, key, sealed string) {
		plain, ok := decrypt(key, sealed)
		if !ok {
			return
		}
		raw, err := base64.StdEncoding.DecodeString(sealed)
		if err != nil {
			t.Fatal(err)
		}
		padding := aes.BlockSize - len(plain)%aes.BlockSize
		padded := append(bytes.Clone(plain), bytes.Repeat([]byte{byte(padding)}, padding)...)
		if again := seal(key, raw[:aes.BlockSize], padded); again != sealed {
			t.Errorf("%q is also %q", sealed, again)
		}
	})
}
