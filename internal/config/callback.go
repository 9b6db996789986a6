package config

import (
	"strconv"
	"strings"

	promconfig "github.com/prometheus/common/config"

	"weixin_exporter/internal/i18n"
	"weixin_exporter/weixin/callback"
	"weixin_exporter/weixin/secret"
)

// Callback is the server that Weixin sends an account's messages to, which the exporter probes.
type Callback struct {
	// URL is http or https. AppIDInURL in it stands for the account's app id. User and query are secrets.
	URL secret.URL `yaml:"url"`
	// Token is the token that is set with Weixin; zero if a file has it.
	Token secret.Value `yaml:"token,omitempty"`
	// TokenFile and AESKeyFile are the files of the token and of the EncodingAESKey. Relative paths have been
	// joined with the folder of the file that names them.
	TokenFile  string `yaml:"token_file,omitempty"`
	AESKeyFile string `yaml:"aes_key_file,omitempty"`
	// Message also posts a signed message: the event MessageEvent or, if that is "", the test text of third-party
	// platforms, to the account with the original id MessageTo.
	Message      bool   `yaml:"message"`
	MessageEvent string `yaml:"message_event,omitempty" allowed:"want.event"`
	MessageTo    string `yaml:"message_to,omitempty" allowed:"want.original_id"`
	// Encryption is how messages are encrypted.
	Encryption Encryption `yaml:"encryption,omitempty"`
	// AppID is the app id in encrypted messages: that of the account, or of the platform that receives them.
	AppID string `yaml:"app_id,omitempty" allowed:"want.callback_app_id"`
	// AllowMetadataAddress allows to connect to the addresses of the metadata services of clouds.
	AllowMetadataAddress bool `yaml:"allow_metadata_address"`
	// HTTPClient says how URL is called; nil is DefaultHTTPClient.
	HTTPClient *promconfig.HTTPClientConfig `yaml:"http_config,omitempty"`
}

// AppIDInURL stands for the app id of an account, as in the URLs that platforms set with Weixin.
const AppIDInURL = "$APPID$"

// Encryption is the mode of messages that is set with Weixin, one of callback.Mode.
type Encryption callback.Mode

// Allowed implements strictyaml.Scalar.
func (*Encryption) Allowed() i18n.Message { return i18n.M("want.encryption") }

// SetText implements strictyaml.Scalar.
func (e *Encryption) SetText(text string) bool {
	*e = Encryption(text)
	switch callback.Mode(text) {
	case callback.Plain, callback.Compatible, callback.Safe:
		return true
	}
	return false
}

// CurrentToken returns the token as it is given, or as its file has it now. The error names the file.
func (c *Callback) CurrentToken() (secret.Value, error) {
	if c.TokenFile == "" {
		return c.Token, nil
	}
	return readChecked(c.TokenFile, badCallbackToken)
}

// CurrentAESKey returns the EncodingAESKey as its file has it now. The error names the file.
func (c *Callback) CurrentAESKey() (secret.Value, error) {
	return readChecked(c.AESKeyFile, badAESKey)
}

// readChecked returns the secret in a file; bad says what is wrong with a text, zero if nothing is.
func readChecked(path string, bad func(string) i18n.Message) (secret.Value, error) {
	text, err := secret.ReadFile(path)
	if err != nil {
		return secret.Value{}, unreadable(path, err)
	}
	if problem := bad(text); !problem.IsZero() {
		return secret.Value{}, i18n.Errorf("fault.content", path, problem)
	}
	return secret.New(text), nil
}

// badCallbackToken says what is wrong with a token; zero if nothing is. Weixin takes 3 to 32 letters and digits.
func badCallbackToken(text string) i18n.Message {
	if len(text) < 3 || len(text) > 32 || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return i18n.M("fault.callback_token")
	}
	return i18n.Message{}
}

func badAESKey(text string) i18n.Message {
	if _, err := callback.ParseKey(text); err != nil {
		return i18n.M("fault.aes_key")
	}
	return i18n.Message{}
}

// validateCallback checks the callback of an account, which may be nil.
func (d *document) validateCallback(key string, a *Account) {
	c := a.Callback
	if c == nil || d.Broken(key) {
		return
	}
	d.validateCallbackURL(key+".url", c.URL)
	d.validateCallbackToken(key, c)
	for name, value := range map[string]string{"message_event": c.MessageEvent, "message_to": c.MessageTo, "app_id": c.AppID} {
		if d.Has(key+"."+name) && (value == "" || strings.ContainsFunc(value, notInAppID)) {
			d.Refuse(key + "." + name)
		}
	}
	d.validateMessage(key, a)
	d.validateSecretPath(key+".aes_key_file", &c.AESKeyFile, i18n.M("want.aes_key_file"), func() error { _, err := c.CurrentAESKey(); return err })
	c.fillIn(a)
}

// validateMessage checks that there is what the message needs.
func (d *document) validateMessage(key string, a *Account) {
	c := a.Callback
	encryption := callback.Mode(c.Encryption)
	switch {
	case (encryption == callback.Compatible || encryption == callback.Safe) && !d.Has(key+".aes_key_file"):
		d.Fault(key+".encryption", i18n.M("fault.no_aes_key", string(encryption)))
	case encryption == callback.Plain && d.Has(key+".aes_key_file"):
		d.Fault(key+".aes_key_file", i18n.M("fault.unused_aes_key"))
	}
	if direct := a.Token.Type == StableToken || a.Token.Type == LegacyToken; c.Message && direct && c.MessageEvent == "" {
		d.Fault(key+".message", i18n.M("fault.no_event"))
	}
}

// fillIn sets the defaults that depend on other keys.
func (c *Callback) fillIn(a *Account) {
	if !c.Message {
		return
	}
	if c.Encryption == "" {
		c.Encryption = Encryption(callback.Plain)
		if c.AESKeyFile != "" {
			c.Encryption = Encryption(callback.Safe)
		}
	}
	if c.MessageTo == "" {
		c.MessageTo = callback.TestAccount
	}
	if c.AppID == "" && c.Encryption != Encryption(callback.Plain) {
		c.AppID = a.AppID
		if a.Token.ComponentAppID != "" {
			c.AppID = a.Token.ComponentAppID
		}
	}
}

func (d *document) validateCallbackURL(key string, given secret.URL) {
	want := i18n.M("want.callback_url")
	u, err := given.Parse()
	switch {
	case d.Broken(key):
	case !d.Has(key):
		d.Fault(key, i18n.M("fault.missing", want))
	case err != nil || !isHTTP(u) || strings.Contains(given.Reveal(), "#"):
		d.Fault(key, i18n.M("fault.must", want))
	}
}

func (d *document) validateCallbackToken(key string, c *Callback) {
	inline, file := key+".token", key+".token_file"
	switch {
	case d.Has(inline) && d.Has(file):
		d.Fault(file, i18n.M("fault.together", "token", strconv.Itoa(d.Place(inline).Line)))
	case d.Broken(inline):
	case d.Has(inline):
		if problem := badCallbackToken(c.Token.Reveal()); !problem.IsZero() {
			d.Fault(inline, problem)
		}
	case !d.Has(file):
		d.Fault(inline, i18n.M("fault.no_secret", "token", "token_file"))
	default:
		d.validateSecretPath(file, &c.TokenFile, i18n.M("want.callback_token_file"), func() error { _, err := c.CurrentToken(); return err })
	}
}

// validateSecretPath joins the path of a file that holds a secret, and reads the file.
func (d *document) validateSecretPath(key string, path *string, want i18n.Message, read func() error) {
	switch {
	case !d.Has(key) || d.Broken(key):
		return
	case *path == "":
		d.Fault(key, i18n.M("fault.empty", want))
		return
	case looksLikeSecret(*path) || badAESKey(*path).IsZero():
		d.Fault(key, i18n.M("fault.is_secret", want))
		return
	}
	*path = d.path(*path)
	if err := read(); err != nil {
		d.fileFault(key, problemOf(err))
		return
	}
	d.warnOpen(key, *path)
}
