package i18n

func commandEnglish() table { return table{} }
