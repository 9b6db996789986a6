package i18n

func commandChinese() table { return table{} }
