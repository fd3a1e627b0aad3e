package feishu

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strings"
)

// decrypt opens what stands in "encrypt": base64 of a 16-byte IV and AES-256-CBC
// under SHA-256 of the encrypt key, padded by PKCS #7
// (https://open.feishu.cn/document/event-subscription-guide/callback-subscription/receive-and-handle-callbacks).
//
// CBC proves nothing of its own. A click counts only if the same key has signed it, which
// is looked at first; a challenge is not signed, and there the caller must answer a bad padding as
// it answers bad JSON and a wrong token, or it would tell the plaintext byte by byte.
func decrypt(encryptKey, sealed string) ([]byte, bool) {
	if strings.ContainsAny(sealed, "\r\n") { // which Go's decoder skips
		return nil, false
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(sealed)
	if err != nil || len(raw) < 2*aes.BlockSize || len(raw)%aes.BlockSize != 0 {
		return nil, false
	}
	key := sha256.Sum256([]byte(encryptKey))
	block, err := aes.NewCipher(key[:])
	if err != nil { // 32 bytes are always a key
		return nil, false
	}
	iv, text := raw[:aes.BlockSize], raw[aes.BlockSize:]
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(text, text)

	last := text[len(text)-aes.BlockSize:]
	padByte := last[aes.BlockSize-1]
	padding := int(padByte)
	good := subtle.ConstantTimeLessOrEq(1, padding) & subtle.ConstantTimeLessOrEq(padding, aes.BlockSize)
	for i, b := range last {
		outside := subtle.ConstantTimeLessOrEq(padding, aes.BlockSize-1-i)
		good &= outside | subtle.ConstantTimeByteEq(b, padByte)
	}
	if good != 1 {
		return nil, false
	}
	return text[:len(text)-padding], true
}
