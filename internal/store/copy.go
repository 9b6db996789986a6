package store

import (
	"context"
	"time"

	"weixin_exporter/weixin/datacube"
)

// Image is everything of a store that a copy needs, as of one instant. It must not be used concurrently, nor after
// the function that it was passed to has returned. Who owns slots of the accounts, and tokens, are not part of it.
type Image interface {
	// Head returns what concerns the store as a whole.
	Head(ctx context.Context) (ImageHead, error)
	// RefreshTokens returns for how many accounts the store has a refresh token, which an image does not contain.
	RefreshTokens(ctx context.Context) (int64, error)
	// Sizes returns all accounts, in ascending order of the bytes of their app IDs.
	Sizes(ctx context.Context) ([]AccountSize, error)
	// Accounts returns the accounts with these app IDs, in that order. Those that the store does not know are left
	// out. The caller owns the result.
	Accounts(ctx context.Context, appIDs []string) ([]AccountImage, error)
}

// Imager reads everything of a store.
type Imager interface {
	// ReadImage calls read with the content of the store at this moment, and returns what read returns: nil means that read
	// has succeeded, even if the context has ended since. A store
	// may keep old data as long as read has not returned. Nothing that cannot be read is left out: it is an error,
	// which names the account and the day from which on that is so.
	ReadImage(ctx context.Context, read func(Image) error) error
}

// Restorer fills a new store. What it has put is part of the Image that it reads back, and is in the store for others
// once the function that the Restorer was passed to has returned without an error.
type Restorer interface {
	Image
	// PutHead puts what concerns the store as a whole.
	PutHead(ctx context.Context, head ImageHead) error
	// PutAccounts puts accounts that were not put before. Counted is ignored: the days are counted.
	PutAccounts(ctx context.Context, accounts []AccountImage) error
}

// ImageHead is what concerns a store as a whole.
type ImageHead struct {
	// Mark is the latest mark.
	Mark Mark
	// Recorded is the latest instant passed to RecordTime, in China time; zero if there is none.
	Recorded time.Time
}

// AccountSize is the size of an account.
type AccountSize struct {
	AppID string
	// Days is the number of known days, of both APIs.
	Days int64
}

// AccountImage is everything that a store has of one account.
type AccountImage struct {
	AppID string
	// Changed is the mark of the latest response for the account, of any kind.
	Changed Mark
	// Counted is, for each API, the number of known days that the store has counted.
	Counted [datacube.APIs]int64
	// Days are, for each API, those for which there has been a response, in ascending order.
	Days [datacube.APIs][]DayImage
	// Holds are in the order of their APIs.
	Holds []Hold
	// Deliveries are in ascending order of their endpoints.
	Deliveries []DeliveryImage
	// Resends are in ascending order of their endpoints and dates.
	Resends []ResendImage
}

// DayImage is everything that a store has of one day of an account and API.
type DayImage struct {
	Date  datacube.Date
	State State
	// Changed is the mark of the response that made the day known or last changed its figures; 0 if there is none.
	Changed Mark
	// Figures has one element for datacube.Daily and one for each hour for datacube.Hourly; nil if all are zero.
	Figures []datacube.Figures
}

// DeliveryImage is how far an endpoint of remote write has got with an account.
type DeliveryImage struct {
	Endpoint string
	Position Position
	// SentAt is when samples were last accepted, in China time; zero if never.
	SentAt time.Time
}

// ResendImage is a day of an account that must be sent again to an endpoint.
type ResendImage struct {
	Endpoint string
	Date     datacube.Date
	// Mark was the latest mark when the day was scheduled.
	Mark Mark
}

// KnownDays returns the number of known days of an API.
func (a *AccountImage) KnownDays(api datacube.API) int64 {
	var known int64
	for i := range a.Days[api] {
		if a.Days[api][i].State.Status == Known {
			known++
		}
	}
	return known
}

// SetFigures keeps a copy of the figures of a day, which may be overwritten afterwards.
func (d *DayImage) SetFigures(figures []datacube.Figures) {
	for i := range figures {
		if figures[i] != (datacube.Figures{}) {
			d.Figures = append([]datacube.Figures(nil), figures...)
			return
		}
	}
	d.Figures = nil
}
