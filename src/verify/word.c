#include "verify/word.h"

const char *bh_image_word_text(enum bh_image_word w)
{
	static const char *const texts[] = {
#define BH_WORD(name, text) [BH_WORD_##name] = (text),
		BH_IMAGE_WORDS(BH_WORD)
#undef BH_WORD
	};

	return (unsigned int)w < BH_N_IMAGE_WORDS ? texts[w] : "internal";
}
