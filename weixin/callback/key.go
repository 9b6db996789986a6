package callback

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"errors"

	"weixin_exporter/weixin/secret"
)

const (
	// keyLength is the number of characters of an EncodingAESKey.
	keyLength = 43
	// padTo is the size that the plaintext is padded to a multiple of: the length of the key, not the
	// 16 bytes of an AES block.
	padTo = 32
	// randomLength is the number of random bytes before the message.
	randomLength = 16
	// lengthLength is the number of bytes of the length of the message.
	lengthLength = 4
)

// Key encrypts messages; it is what Weixin calls EncodingAESKey. The zero value is not a key. However it is
// printed, it does not show.
type Key struct {
	block cipher.Block
	iv    []byte
	text  secret.Value
}

// ParseKey reads the 43 characters of an EncodingAESKey. The error does not quote them.
func ParseKey(text string) (Key, error) {
	// Decoding is not strict: the last character of a key may have bits that do not count.
	raw, err := base64.StdEncoding.DecodeString(text + "=")
	if len(text) != keyLength || err != nil {
		return Key{}, errors.New("it must be an EncodingAESKey, which has 43 letters and digits")
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		return Key{}, err
	}
	return Key{block: block, iv: raw[:aes.BlockSize], text: secret.New(text)}, nil
}

// IsZero reports whether there is no key.
func (k Key) IsZero() bool { return k.block == nil }

// Text returns the EncodingAESKey.
func (k Key) Text() secret.Value { return k.text }

// String returns secret.Mask, or "" where there is no key.
func (k Key) String() string { return k.text.String() }

// GoString returns what String returns.
func (k Key) GoString() string { return k.String() }

// Encrypt returns a message as it stands in the field Encrypt: the random bytes, the length, the message and the
// app id, encrypted by AES-256 in CBC mode, in base64. The app id is the account's own, or that of the third-party
// platform whose server receives the message.
func (k Key) Encrypt(message []byte, appID string, random [randomLength]byte) string {
	plain := append([]byte{}, random[:]...)
	plain = binary.BigEndian.AppendUint32(plain, uint32(len(message)))
	plain = append(plain, message...)
	plain = append(plain, appID...)
	pad := padTo - len(plain)%padTo
	for range pad {
		plain = append(plain, byte(pad))
	}
	out := make([]byte, len(plain))
	cipher.NewCBCEncrypter(k.block, k.iv).CryptBlocks(out, plain)
	return base64.StdEncoding.EncodeToString(out)
}

// Decrypt returns the message that Encrypt was given, and the app id. What was made with another key, and what
// is not an encrypted message at all, gives an error.
func (k Key) Decrypt(text string) (message []byte, appID string, err error) { //nolint:nonamedreturns // which is which
	encrypted, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, "", errors.New("it is not base64")
	}
	if len(encrypted) == 0 || len(encrypted)%aes.BlockSize != 0 {
		return nil, "", errors.New("its length is not that of an encrypted message")
	}
	plain := make([]byte, len(encrypted))
	cipher.NewCBCDecrypter(k.block, k.iv).CryptBlocks(plain, encrypted)
	pad := int(plain[len(plain)-1])
	if pad < 1 || pad > padTo || pad > len(plain)-randomLength-lengthLength {
		return nil, "", errWrongKey()
	}
	plain = plain[randomLength : len(plain)-pad]
	length := int64(binary.BigEndian.Uint32(plain))
	plain = plain[lengthLength:]
	if length > int64(len(plain)) {
		return nil, "", errWrongKey()
	}
	return plain[:length], string(plain[length:]), nil
}

func errWrongKey() error { return errors.New("it was encrypted with another AES key") }
