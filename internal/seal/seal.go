// Package seal encrypts small values, such as tokens, for a place that others can read or change. A sealed value can
// be opened only with the key, for the purpose and by the name for which it was sealed, so that no two of them can be
// exchanged for each other.
package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

const (
	// keySize is the size of a key in bytes.
	keySize = 32
	// format is the first byte of everything that is sealed.
	format = 1
	// idSize is the size in bytes of what identifies a key in what it sealed.
	idSize = 8
	// header is the size of what precedes nonce and text.
	header = 1 + idSize
)

// Keys seal and open values. They are safe for concurrent use. However they are printed, the keys are not shown.
type Keys struct {
	file string
	keys []key // at least one; the first one seals
}

type key struct {
	id   [idSize]byte
	aead cipher.AEAD // puts a random nonce in front of the text
}

// UnknownKeyError means that a value was sealed with none of the keys.
type UnknownKeyError struct {
	// File is the file of the keys.
	File string
}

// Error implements error.
func (e *UnknownKeyError) Error() string {
	return fmt.Sprintf("sealed with a key that is not in %s; add that key to the file as a further line", e.File)
}

// DamagedError means that a value was changed after it was sealed, or sealed for something else.
type DamagedError struct{}

// Error implements error.
func (*DamagedError) Error() string {
	return "the sealed value is damaged, or belongs to something else"
}

// newKey derives from a key what identifies it and what encrypts.
func newKey(given []byte) (key, error) {
	id, err := hkdf.Key(sha256.New, given, nil, "weixin_exporter: ID of a sealing key", idSize)
	if err != nil {
		return key{}, err
	}
	derived, err := hkdf.Key(sha256.New, given, nil, "weixin_exporter: seal", keySize)
	if err != nil {
		return key{}, err
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return key{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return key{id: [idSize]byte(id), aead: aead}, err
}

// Format shows nothing of the keys.
func (k *Keys) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "%d sealing keys", len(k.keys)) }

// MarshalText shows nothing of the keys.
func (k *Keys) MarshalText() ([]byte, error) { return []byte(fmt.Sprint(k)), nil }

// Seal encrypts a value for a purpose and a name with the first key.
func (k *Keys) Seal(value []byte, purpose, name string) []byte {
	first := k.keys[0]
	sealed := append([]byte{format}, first.id[:]...)
	return first.aead.Seal(sealed, nil, value, additional(sealed, purpose, name)) //nolint:gosec // it chooses random nonces
}

// Open returns the value that was sealed for this purpose and name, and whether it was sealed with the first key; if not,
// it should be sealed again before the other key is given up. The error is an *UnknownKeyError or a *DamagedError.
func (k *Keys) Open(sealed []byte, purpose, name string) (value []byte, current bool, err error) { //nolint:nonamedreturns // a boolean needs a name
	if len(sealed) < header || sealed[0] != format {
		return nil, false, &DamagedError{}
	}
	for i, known := range k.keys {
		if !bytes.Equal(known.id[:], sealed[1:header]) {
			continue
		}
		value, err := known.aead.Open(nil, nil, sealed[header:], additional(sealed[:header], purpose, name))
		if err != nil {
			return nil, false, &DamagedError{}
		}
		return value, i == 0, nil
	}
	return nil, false, &UnknownKeyError{k.file}
}

// additional returns what is authenticated with a value: each part with its length, so that no two lists of parts
// have the same result.
func additional(header []byte, purpose, name string) []byte {
	var b []byte
	for _, part := range [][]byte{header, []byte(purpose), []byte(name)} {
		b = binary.BigEndian.AppendUint64(b, uint64(len(part)))
		b = append(b, part...)
	}
	return b
}
